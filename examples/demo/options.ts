import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Unusable } from './unusable.ts'

export const usage = `
  npx -y pnpm@12 demo [FOLDER] [--log URL] [--driver URL] [--out FOLDER]
  npx -y pnpm@12 demo --audit [--out FOLDER]

  FOLDER         your own pictures (JPEG, PNG, WebP, AVIF, GIF, TIFF); the first twelve. Default: photographs that come with it
  --log URL      postgres://… : the job log in a schema of its own in that database. Default: an SQLite file
  --driver URL   amqp://… or sqs://… : the broker that the workers are moved to half way. Default: an SQS of its own (fauxqs)
  --out FOLDER   where the thumbnails go. Default: ./errand-demo; what an earlier demo left there is replaced
  --audit        no show: holds the log of the demo in --out against what its handlers wrote, once more
  --help         this text
`

export interface Options {
  /** Undefined: the photographs that come with the demo. */
  readonly folder: string | undefined
  readonly log: string | undefined
  /** The broker of the second half. */
  readonly driver: string | undefined
  readonly out: string
  readonly auditOnly: boolean
  readonly help: boolean
}

export function readOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options {
  // pnpm runs scripts in the root of the workspace. INIT_CWD is the folder where the command was typed.
  const typedIn = environment['INIT_CWD'] ?? process.cwd()
  const { values, positionals } = parsed(args)
  if (positionals.length > 1) throw new Unusable(`one folder at a time, not ${positionals.length}`)
  const [folder] = positionals
  return {
    folder: folder === undefined ? undefined : resolve(typedIn, folder),
    log: checkedLog(values.log),
    driver: checkedDriver(values.driver),
    out: resolve(typedIn, values.out),
    auditOnly: values.audit,
    help: values.help,
  }
}

function parsed(args: readonly string[]): ReturnType<typeof parse> {
  try {
    return parse(args.filter((argument) => argument !== '--'))
  } catch (error) {
    throw new Unusable(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
  }
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      log: { type: 'string' },
      driver: { type: 'string' },
      out: { type: 'string', default: 'errand-demo' },
      audit: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
}

function checkedLog(log: string | undefined): string | undefined {
  if (log === undefined || /^postgres(ql)?:\/\//.test(log)) return log
  throw new Unusable(`--log takes postgres://…; without it the demo keeps its jobs in an SQLite file`)
}

function checkedDriver(driver: string | undefined): string | undefined {
  if (
    driver === undefined ||
    (/^(?:amqps?:\/\/|sqs:\/\/|https:\/\/sqs\.)/.test(driver) && URL.canParse(driver))
  )
    return driver
  throw new Unusable(
    `--driver takes amqp://…, sqs://… or https://sqs.…; without it the demo brings an SQS of its own`,
  )
}
