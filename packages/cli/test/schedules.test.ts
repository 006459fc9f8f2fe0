import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { eventually } from '@errand/testkit'
import { expect, test } from 'vitest'
import { greet, once } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'
import type { Application } from './helpers/application.ts'

const worker = `
import { defineSchedule, defineWorker, handle } from 'errand'
import { greet } from './jobs.ts'

const nightly = defineSchedule({
  name: 'nightly',
  job: greet,
  cron: '30 2 * * *',
  zone: 'Europe/Berlin',
  payload: (tick) => ({ name: tick.at.toISOString() }),
})
export default defineWorker({ handlers: [handle(greet, ({ name }) => ({ text: name }))], schedules: [nightly] })
`

async function withTenants(): Promise<Application> {
  const app = makeApplication()
  const set = (tenant: string): Promise<void> =>
    app.errand.schedules.set(
      {
        name: `sync:${tenant}`,
        job: greet,
        every: '1d',
        from: new Date('2030-01-01'),
        payload: { name: tenant },
      },
      'a test',
    )
  await set('acme')
  await set('zeta')
  return app
}

test('a schedule of the code is listed with its next tick, and one that is misspelt is guessed', async () => {
  const app = makeApplication({ files: { 'worker.ts': worker } })
  expect((await app.command('schedules', 'list')).stderr).toContain('there are no schedules')
  const working = app.start(['work'])
  await eventually(async () => expect(await app.errand.schedules.get('nightly')).toBeDefined())
  const { stdout } = await app.command('schedules', 'list')
  expect(stdout).toMatch(/nightly +greet +30 2 \* \* \* Europe\/Berlin +\d{4}-\d\d-\d\d .* \(in \d+[hms]\)/)
  expect(await app.command('schedules', 'show', 'nihgtly')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('did you mean "nightly"?') as string,
  })
  await app.command('schedules', 'trigger', 'nightly', '--by', 'mia', '--reason', 'the month ends')
  await eventually(async () => expect((await app.jobs()).map(({ state }) => state)).toEqual(['succeeded']))
  expect((await app.command('schedules', 'show', 'nightly')).stdout).toMatch(/triggered +mia +the month ends/)
  working.kill()
  await working.ended
})

test('the next ticks are told by the clock of the zone, and the change of the clock is marked', async () => {
  const app = makeApplication()
  await app.errand.schedules.set(
    {
      name: 'half-years',
      job: once,
      cron: '30 2 1 1,7 *',
      zone: 'Europe/Berlin',
      payload: { key: 'a' },
    },
    'a test',
  )
  const { stdout } = await app.command('schedules', 'next', 'half-years', '--count', '4')
  expect(stdout).toMatch(/ \d{4}-01-01 02:30:00 \+01:00 /)
  expect(stdout).toMatch(/ \d{4}-07-01 02:30:00 \+02:00 /)
  expect(stdout).toContain('the clock has changed before it')
  expect(await app.json<readonly string[]>('schedules', 'next', 'half-years', '--count', '4')).toHaveLength(4)
  expect(await app.command('schedules', 'next', 'half-years', '--count', '0')).toMatchObject({ code: 2 })
})

test('a paused schedule says who paused it, goes on when it is resumed, and goes when it is removed', async () => {
  const app = await withTenants()
  await app.command('schedules', 'pause', 'sync:acme', '--by', 'mia')
  expect((await app.command('schedules', 'list')).stdout).toMatch(/sync:acme .*paused by mia\n/)
  await app.command('schedules', 'resume', 'sync:acme')
  expect((await app.command('schedules', 'list')).stdout).not.toContain('paused')
  expect((await app.command('schedules', 'remove', 'sync:acme')).stdout).toBe('sync:acme is removed\n')
  const left = await app.json<readonly { readonly name: string }[]>('schedules', 'list')
  expect(left.map(({ name }) => name)).toEqual(['sync:zeta'])
  expect(await app.command('schedules', 'remove', 'sync:acme')).toMatchObject({ code: 3 })
})

test('a schedule whose row another program has spoilt is shown with its neighbours, and can be removed', async () => {
  const app = await withTenants()
  const db = new DatabaseSync(join(app.folder, 'errand.db'))
  db.exec(`update errand_schedules set body = 'spoilt' where name = 'sync:acme'`)
  db.close()
  const { stdout } = await app.command('schedules', 'list')
  expect(stdout).toMatch(/sync:acme .*its row cannot be read\n/)
  expect(stdout).toMatch(/sync:zeta .*every 1d/)
  expect((await app.command('schedules', 'show', 'sync:acme')).stdout).not.toContain('missed')
  expect(await app.command('schedules', 'pause', 'sync:acme')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('remove it, and set or declare it again') as string,
  })
  expect(await app.command('schedules', 'remove', 'sync:acme')).toMatchObject({ code: 0 })
  expect((await app.command('schedules', 'list')).stdout).not.toContain('sync:acme')
})
