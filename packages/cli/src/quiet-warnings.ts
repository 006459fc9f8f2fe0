// Node warns on every run that type stripping and SQLite are experimental. Users of a command have not chosen them and
// cannot act on it. Other warnings stay.
const quiet =
  /SQLite is an experimental feature|Type Stripping is an experimental feature|^Module type of file:|vm\.USE_MAIN_CONTEXT_DEFAULT_LOADER/

const emitWarning = process.emitWarning.bind(process) as (...all: unknown[]) => void

process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
  const text = [warning instanceof Error ? warning.message : warning, ...rest].map(String).join(' ')
  if (!quiet.test(text)) emitWarning(warning, ...rest)
}
