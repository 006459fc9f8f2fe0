import { expect, test } from 'vitest'
import { batch } from '@errand/core'
import { eventually } from '@errand/testkit'
import { approved, fulfil } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'
import type { Application } from './helpers/application.ts'

const nobody = '01890000-0000-7000-8000-000000000000'

/** An order that waits for its approval. */
async function waitingOrder(app: Application): Promise<string> {
  const { id } = await app.errand.dispatch(fulfil)
  await app.drain()
  return id
}

test('shows what a job remembers, what it waits for, and what it has not received', async () => {
  const app = makeApplication()
  const id = await waitingOrder(app)
  const other = await app.command('jobs', 'send', id, 'order.gossip', '{"about":"ada"}', '--by', 'mia')
  expect(other.stdout).toMatch(/^sent /)
  const { stdout } = await app.command('jobs', 'show', id)
  expect(stdout).toMatch(/state +suspended/)
  expect(stdout).toMatch(/STEP +KIND +RUN/)
  expect(stdout).toMatch(/charge +step +1 .*"cents":700/)
  expect(stdout).toMatch(/WAITS +FOR +UNTIL\n *approval +message approved +– +without an end/)
  expect(stdout).toMatch(/order\.gossip .*mia +\{"about":"ada"\}/)
  expect(await app.json('jobs', 'show', id)).toMatchObject({
    memory: {
      steps: [{ name: 'charge', kind: 'step', run: 1, result: { cents: 700 } }],
      waits: [{ name: 'approval', kind: 'message', on: 'approved' }],
      messages: [{ name: 'order.gossip', by: 'mia', payload: { about: 'ada' } }],
    },
  })
})

test('a member of a flow that waits in its handler says for what', async () => {
  const app = makeApplication()
  const { id } = await app.errand.dispatch(batch([fulfil.with()]))
  await app.drain()
  const { stdout } = await app.command('flows', 'show', id)
  expect(stdout).toMatch(/ suspended .* waits for approval$/m)
})

test('a message that the command sends lets the job go on; the same id is sent once', async () => {
  const app = makeApplication()
  const id = await waitingOrder(app)
  const message = '01890000-0000-4000-8000-000000000001'
  const send = (): Promise<unknown> =>
    app.json('jobs', 'send', id, approved.name, '{"by":"ada"}', '--id', message)
  expect(await send()).toEqual({ id: message, status: 'sent' })
  expect(await send()).toEqual({ id: message, status: 'duplicate' })
  await app.drain()
  await eventually(async () => expect((await app.job({ id, status: 'added' })).state).toBe('succeeded'))
})

test('a message to nobody is refused', async () => {
  const app = makeApplication()
  const ran = await app.command('jobs', 'send', nobody, approved.name, '{"by":"ada"}')
  expect(ran.code).toBe(6)
  expect(ran.stderr).toContain('E_MESSAGE')
})

test('a replay goes on where the job was; with --forget it begins anew', async () => {
  const app = makeApplication()
  const id = await waitingOrder(app)
  await app.errand.jobs.send(id, approved, { by: 'eve' })
  await app.drain()
  const runs = async (): Promise<unknown> =>
    (await app.errand.jobs.memory(id)).steps.map(({ name, run }) => `${name} ${run}`)
  const before = await runs()
  expect(before).toEqual(['charge 1', 'approval 1', 'ship 2'])
  await app.command('jobs', 'replay', id)
  await app.drain()
  expect(await runs()).toEqual(before)
  await app.command('jobs', 'replay', id, '--forget')
  await app.drain()
  expect(await runs()).toEqual(['charge 4'])
})
