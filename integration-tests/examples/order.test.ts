import { join } from 'node:path'
import { until } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { logs, makeLog } from '../fleet/shared.ts'
import { errandCommand, examples, node, runToEnd } from './commands.ts'
import type { Command } from './commands.ts'

const cwd = join(examples, 'order')

interface Acted {
  readonly charges: number
  readonly refunds: number
  readonly shipments: number
  readonly askedAgain: number
}

/** The services of the shop, a log, and commands there. */
async function openShop(log: string, env: NodeJS.ProcessEnv = {}) {
  const services = node(['services.ts'], { cwd, env: { PORT: '0', ...env } })
  onTestFinished(() => services[Symbol.asyncDispose]())
  const [, port] = await services.says(/listen on port (\d+)/)
  const url = `http://127.0.0.1:${port}`
  const own = { ERRAND_LOG: makeLog(log), ERRAND_LOG_LEVEL: 'warn', SERVICES: url, ...env }
  const run = (args: readonly string[]): Promise<string> => runToEnd(args, { cwd, env: own })
  await run([errandCommand, 'migrate'])
  return {
    run,
    work: (): Command => {
      const worker = node([errandCommand, 'work'], { cwd, env: own })
      onTestFinished(() => worker[Symbol.asyncDispose]())
      return worker
    },
    acted: async (): Promise<Acted> => (await (await fetch(url)).json()) as Acted,
    place: async (order: string, cents: string, address: string): Promise<string> => {
      const [, id = ''] =
        /is job (\S+): added/.exec(await run(['app.ts', 'place', order, cents, address])) ?? []
      return id
    },
    waits: (id: string): Promise<true> =>
      until(async () => (await run([errandCommand, 'jobs', 'list', '--state', 'suspended'])).includes(id), {
        what: `${id} waits`,
        withinMs: 60_000,
      }),
  }
}

async function kill(worker: Command): Promise<void> {
  worker.child.kill('SIGKILL')
  await expect(worker.exitCode).rejects.toThrow('ended by SIGKILL')
}

async function stop(worker: Command): Promise<void> {
  worker.child.kill('SIGTERM')
  expect(await worker.exitCode, worker.output()).toBe(0)
}

describe.each(logs)('the example of an order on %s', (log) => {
  test('does what its README says: a worker is killed while the order waits, and it ships on another', async () => {
    const shop = await openShop(log)
    const one = shop.work()
    const id = await shop.place('a-1', '49900', 'Main Street')
    await shop.waits(id)
    await kill(one)
    expect(await shop.run(['app.ts', 'place', 'a-1', '49900', 'Main Street'])).toContain(`${id}: duplicate`)
    const shown = await shop.run([errandCommand, 'jobs', 'show', id])
    expect(shown).toMatch(/charge/)
    expect(shown).toMatch(/decision/)
    expect(await shop.run(['app.ts', 'approve', 'a-1', 'mia'])).toBe('mia approves order a-1: sent\n')

    const two = shop.work()
    await two.says(/order a-1 is shipped/)
    await shop.place('a-2', '9900', 'nowhere')
    await two.says(/order a-2 is refunded: we do not ship there/)
    await shop.waits(await shop.place('a-3', '49900', 'Main Street'))
    await shop.run(['app.ts', 'reject', 'a-3', 'mia'])
    await two.says(/order a-3 is refunded: mia has rejected it/)
    expect(await shop.acted()).toEqual({ charges: 3, refunds: 2, shipments: 1, askedAgain: 0 })
    await stop(two)
  })

  test('a worker dies when its step has acted and is not recorded: only that step is asked again', async () => {
    const shop = await openShop(log, { LOST_ANSWER: 'shipments' })
    const one = shop.work()
    await shop.place('a-1', '9900', 'Main Street')
    await until(async () => (await shop.acted()).shipments === 1, { what: 'it ships', withinMs: 60_000 })
    await kill(one)
    const two = shop.work()
    await two.says(/order a-1 is shipped/)
    expect(await shop.acted()).toEqual({ charges: 1, refunds: 0, shipments: 1, askedAgain: 1 })
    await stop(two)
  })

  test('nobody decides in time: the money goes back', async () => {
    const shop = await openShop(log, { DECIDE_WITHIN: '2s' })
    const worker = shop.work()
    await shop.place('a-1', '49900', 'Main Street')
    await worker.says(/order a-1 is refunded: nobody has decided in time/)
    expect(await shop.acted()).toEqual({ charges: 1, refunds: 1, shipments: 0, askedAgain: 0 })
    await stop(worker)
  })
})
