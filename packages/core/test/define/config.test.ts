import { expect, test } from 'vitest'
import { createErrand, defineConfig } from '../../src/index.ts'
import { memoryDriver, memoryLog } from '../../src/testing.ts'
import { catchRefusal } from '../catch-refusal.ts'

test('a configuration may be empty, and is returned as it is', () => {
  expect(defineConfig()).toEqual({})
  const config = {
    log: 'sqlite:./a.db',
    driver: 'database',
    worker: './worker.ts',
    keep: { failed: '7d' },
  } as const
  expect(defineConfig(config)).toBe(config)
})

test('objects of packages are taken in place of URLs', () => {
  expect(() => defineConfig({ log: memoryLog(), driver: memoryDriver() })).not.toThrow()
})

test.each([
  [{ logs: 'sqlite:./a.db' }, 'E_OPTION', 'did you mean "log"?'],
  [{ log: 7 }, 'E_OPTION', 'a URL'],
  [{ log: { errand: 'driver', open: () => undefined } }, 'E_OPTION', 'a URL'],
  [{ worker: 7 }, 'E_OPTION', 'path'],
  [{ logger: console.log }, 'E_OPTION', 'logger.debug'],
  [{ publishWait: 'long' }, 'E_DURATION', 'publishWait'],
  [{ publishWait: -1 }, 'E_DURATION', 'publishWait'],
  [{ payloadLimit: 0 }, 'E_OPTION', 'payloadLimit'],
  [{ resultLimit: '64k' }, 'E_OPTION', 'resultLimit'],
  [{ keep: { succeded: '1d' } }, 'E_OPTION', '"succeeded"'],
  [{ keep: { failed: 'ever' } }, 'E_DURATION', 'keep.failed'],
  [{ encrypt: { keys: [] } }, 'E_OPTION', 'at least one key'],
  [{ encrypt: { keys: ['short'] } }, 'E_OPTION', '32 in base64'],
  [{ log: './errand.db' }, 'E_URL', 'not a URL'],
])('%j is refused at once, when it is defined and when it is used', async (config, code, hint) => {
  for (const use of [defineConfig, createErrand]) {
    const refusal = await catchRefusal(() => use(config as never))
    expect(refusal).toMatchObject({ code, message: expect.stringContaining(hint) })
    expect(refusal.message).not.toContain('secret')
  }
})
