import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { checkFlag, checkOneOf, checkOptions, checkParameters, describe, parseFlag } from '../options.ts'

/** One option of a driver: its default, its check, and its form in a URL. */
export interface OptionRule<Setting> {
  /** As a user would write it. Without a default, an option that is not given is undefined. */
  readonly default?: unknown
  /**
   * Returns the setting for a value that was given.
   * @param what names the option in the error: `prefix of sqs()`.
   * @throws `E_OPTION` or another code.
   */
  readonly check: (value: unknown, what: string) => Setting
  /** Its name in a URL's query; `false` if a URL cannot hold it. Default: the option's own name. */
  readonly inUrl?: string | false | undefined
  /** Turns the text in a URL into the option's value. Default: the text. */
  readonly parse?: ((text: string, what: string) => unknown) | undefined
  /** For a group: its options. Each has its own name in the URL. */
  readonly rules?: OptionRules | undefined
}

export type OptionRules = Readonly<Record<string, OptionRule<unknown>>>

export type SettingsOf<Rules extends OptionRules> = {
  readonly [Name in keyof Rules]: ReturnType<Rules[Name]['check']>
}

export interface OptionTable<Rules extends OptionRules> {
  /**
   * Checks the options of the object form and applies every default. The result is frozen.
   * @throws `E_OPTION` for an unknown option, and what the rules throw.
   */
  check(options: object): SettingsOf<Rules>
  /**
   * Reads the options in a URL's query, in the form of the object, not yet checked: pass them to `check`.
   * @param what `the URL of SQS`
   * @throws `E_OPTION` for an unknown parameter, and one that is given twice.
   */
  readQuery(what: string, query: string): object
}

/**
 * One table of a driver's options for both ways to give them: an object, and the query of a URL.
 * @param call `sqs()`, for errors.
 * @example
 * const table = defineOptions('mine()', { prefix: option.text({ default: 'errand' }), poll: option.duration({ default: '1s' }) })
 * table.check({ ...table.readQuery('the URL of mine', 'poll=5s'), prefix: 'shop' }) // { prefix: 'shop', poll: 5_000 }
 */
export function defineOptions<const Rules extends OptionRules>(
  call: string,
  rules: Rules,
): OptionTable<Rules> {
  return {
    check: (options) => checkAll(call, rules, options) as SettingsOf<Rules>,
    readQuery: (what, query) => readAll(rules, checkParameters(what, query, listParameters(rules)), what),
  }
}

function checkAll(call: string, rules: OptionRules, options: object): object {
  checkOptions(call, options, Object.keys(rules))
  const settings = Object.entries(rules).map(([name, rule]) => {
    const value = (options as Record<string, unknown>)[name] ?? rule.default
    return [name, value === undefined ? undefined : rule.check(value, `${name} of ${call}`)]
  })
  return Object.freeze(Object.fromEntries(settings))
}

function listParameters(rules: OptionRules): string[] {
  return Object.entries(rules).flatMap(([name, { inUrl = name, rules }]) => {
    if (rules) return listParameters(rules)
    return inUrl === false ? [] : [inUrl]
  })
}

function readAll(rules: OptionRules, given: Readonly<Partial<Record<string, string>>>, what: string): object {
  const options = Object.entries(rules).map(([name, { inUrl = name, parse, rules }]) => {
    if (rules) return [name, readAll(rules, given, what)]
    const text = inUrl === false ? undefined : given[inUrl]
    return [name, text === undefined || !parse ? text : parse(text, `${inUrl} in ${what}`)]
  })
  return Object.fromEntries(options)
}

type Unset<Default> = Default extends undefined ? undefined : never
type InUrl = Pick<OptionRule<unknown>, 'inUrl' | 'parse'>

/** Makes the rules of a table: one function for each kind of option. */
export const option = {
  /** A text. It must match `pattern`; `use` says so in words. */
  text<Default extends string | undefined = undefined>({
    pattern = /^/,
    use = 'a text',
    code = 'E_OPTION',
    ...rest
  }: InUrl & {
    readonly default?: Default
    readonly pattern?: RegExp
    readonly use?: string
    readonly code?: ErrorCode
  } = {}): OptionRule<string | Unset<Default>> {
    const check = (value: unknown, what: string): string => {
      if (typeof value === 'string' && pattern.test(value)) return value
      throw new ErrandError(code, `${what} is ${describe(value)}; use ${use}`)
    }
    return { ...rest, check }
  },

  /** `true` or `false`. */
  flag(standard: boolean): OptionRule<boolean> {
    const check = (value: unknown, what: string): boolean => {
      checkFlag(what, value)
      return value as boolean
    }
    return { default: standard, check, parse: (text, what) => parseFlag(what, text) }
  },

  /** One of a few texts; the first is the default. */
  oneOf<const Choice extends string>(choices: readonly Choice[], inUrl: InUrl = {}): OptionRule<Choice> {
    return { ...inUrl, default: choices[0], check: (value, what) => checkOneOf(what, value, choices) }
  },

  /** A duration, as milliseconds. `from` and `to` limit it; `wholeSeconds` allows only whole seconds. */
  duration<Default extends Duration | undefined = undefined>({
    from = 0,
    to,
    wholeSeconds = false,
    ...rest
  }: InUrl & {
    readonly default?: Default
    readonly from?: Duration
    readonly to?: Duration
    readonly wholeSeconds?: boolean
  } = {}): OptionRule<number | Unset<Default>> {
    const [fromMs, toMs] = [durationMs(from, 'from'), to === undefined ? Infinity : durationMs(to, 'to')]
    const check = (value: unknown, what: string): number => {
      const ms = durationMs(value as Duration, what)
      if (ms >= fromMs && ms <= toMs && (!wholeSeconds || ms % 1_000 === 0)) return ms
      const limits = to === undefined ? `'${from}' or more` : `from '${from}' to '${to}'`
      throw new ErrandError(
        'E_OPTION',
        `${what} is ${ms} ms; use ${wholeSeconds ? 'whole seconds, ' : ''}${limits}`,
      )
    }
    return { ...rest, check }
  },

  /** Any value that `check` accepts. A URL cannot hold it unless `inUrl` gives a name. */
  custom<Setting, Default = undefined>(
    check: (value: unknown, what: string) => Setting,
    rest: InUrl & { readonly default?: Default } = {},
  ): OptionRule<Setting | Unset<Default>> {
    return { inUrl: false, ...rest, check }
  },

  /** Options that belong together, as an object; `{}` by default. */
  group<const Rules extends OptionRules>(rules: Rules): OptionRule<SettingsOf<Rules>> {
    const check = (value: unknown, what: string): SettingsOf<Rules> =>
      checkAll(what, rules, value as object) as SettingsOf<Rules>
    return { default: {}, check, rules }
  },
}
