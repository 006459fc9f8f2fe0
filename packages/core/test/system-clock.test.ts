import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('neither a timer nor a sleep of the system clock keeps a process alive', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    `const { systemClock } = await import(${JSON.stringify(new URL('../src/ports/system-clock.ts', import.meta.url).href)})
     systemClock.after(60_000, () => console.log('after'))
     systemClock.after(2 ** 32, () => {})
     void systemClock.sleep(60_000)
     console.log('over')
     setTimeout(() => { console.log('alive'); process.exit() }, 500).unref()`,
  ])
  expect(stdout).toBe('over\n')
})
