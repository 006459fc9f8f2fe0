import { describe, expect, expectTypeOf, it } from 'vitest'
import { defineOptions, option } from '../../src/driver-kit.ts'
import { catchRefusal } from '../catch-refusal.ts'

const table = defineOptions('mine()', {
  prefix: option.text({ default: 'errand', pattern: /^[a-z]+$/, use: 'letters' }),
  declare: option.flag(true),
  auth: option.oneOf(['plain', 'external'], { inUrl: 'auth_mechanism' }),
  poll: option.duration({ default: '1s', from: '100ms' }),
  heartbeat: option.duration({ from: '1s', to: '1m', wholeSeconds: true }),
  client: option.custom((client) => client as object),
  tls: option.group({
    ca: option.text({ inUrl: 'cafile', parse: (path) => `content of ${path}` }),
    serverName: option.text({ inUrl: false }),
  }),
})
const what = 'the URL of mine'

describe('a table of options', () => {
  it('has a default for each, or undefined, and gives frozen settings with their types', () => {
    const settings = table.check({})
    expect(settings).toEqual({
      prefix: 'errand',
      declare: true,
      auth: 'plain',
      poll: 1_000,
      heartbeat: undefined,
      client: undefined,
      tls: { ca: undefined, serverName: undefined },
    })
    expect(Object.isFrozen(settings)).toBe(true)
    expect(Object.isFrozen(settings.tls)).toBe(true)
    expectTypeOf(settings).toEqualTypeOf<{
      readonly prefix: string
      readonly declare: boolean
      readonly auth: 'plain' | 'external'
      readonly poll: number
      readonly heartbeat: number | undefined
      readonly client: object | undefined
      readonly tls: { readonly ca: string | undefined; readonly serverName: string | undefined }
    }>()
  })

  it('reads the query of a URL as the object form, by the names that the URL has for them', () => {
    const query = '?prefix=shop&declare=false&auth_mechanism=external&poll=5s&heartbeat=20s&cafile=/ca.pem'
    const options = table.readQuery(what, query)
    expect(options).toMatchObject({ prefix: 'shop', declare: false, poll: '5s' })
    expect(table.check(options)).toEqual({
      prefix: 'shop',
      declare: false,
      auth: 'external',
      poll: 5_000,
      heartbeat: 20_000,
      client: undefined,
      tls: { ca: 'content of /ca.pem', serverName: undefined },
    })
  })

  it.each([
    [{ prefix: 'A' }, 'prefix of mine() is "A"; use letters'],
    [{ prefix: 7 }, 'prefix of mine() is 7'],
    [{ declare: 'no' }, 'declare of mine() is "no"; use true or false'],
    [{ auth: 'none' }, "use one of 'plain', 'external'"],
    [{ poll: 5 }, "poll of mine() is 5 ms; use '100ms' or more"],
    [{ heartbeat: '1500ms' }, "use whole seconds, from '1s' to '1m'"],
    [{ heartbeat: '2m' }, 'heartbeat of mine() is 120000 ms'],
    [{ tls: { cb: 'x' } }, 'tls of mine() has no option "cb"; did you mean "ca"?'],
    [{ tls: 'yes' }, 'takes an object'],
    [{ prefx: 'a' }, 'did you mean "prefix"'],
  ])('refuses %o, and says what to change', async (options, message) => {
    const refusal = await catchRefusal(() => table.check(options))
    expect(refusal.code).toBe('E_OPTION')
    expect(refusal.message).toContain(message)
  })

  it.each([
    ['prefx=a', 'did you mean "prefix"'],
    ['prefix=a&prefix=b', 'prefix twice'],
    ['declare=maybe', 'declare in the URL of mine is "maybe"'],
    ['client=x', 'no parameter "client"'],
    ['auth=plain', 'no parameter "auth"'],
    ['serverName=x', 'no parameter "serverName"'],
    ['tls=x', 'no parameter "tls"'],
  ])('refuses ?%s in a URL', async (query, message) => {
    const refusal = await catchRefusal(() => table.readQuery(what, query))
    expect(refusal).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(message) })
  })
})
