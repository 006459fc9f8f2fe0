import { randomUUID } from 'node:crypto'
import { batch, chain, ended, flow } from '@errand/core'
import type { FlowReceipt } from '@errand/core'
import { expect, test } from 'vitest'
import { greet, linger, stumble } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'
import type { Application } from './helpers/application.ts'

const hello = (name: string) => greet.with({ name })

async function said(app: Application, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await app.command(...args)
  expect(code, stderr).toBe(0)
  return stdout
}

/** Greetings, then two greetings of a batch, then one more; a callback. */
function dispatchVisit(app: Application): Promise<FlowReceipt<unknown>> {
  return app.errand.dispatch(
    flow(
      (f) => {
        const first = f.job(greet, { name: 'ann' })
        const both = f.batch([hello('bob'), hello('cid')], { name: 'both' })
        f.job(greet, { name: 'dan' }, { after: [both, ended(first)] })
      },
      { name: 'visit', tags: ['t'], meta: { tenant: 'acme' }, onEnd: hello('end') },
    ),
  )
}

test('flows are listed, and shown as a tree that says why each member waits', async () => {
  const app = makeApplication()
  const { id } = await dispatchVisit(app)
  const listed = await said(app, 'flows', 'list', '--name', 'visit')
  expect(listed).toMatch(new RegExp(`${id} +visit +running +0 of 3 `))
  expect(await said(app, 'flows', 'list')).toContain(`in flow ${id}`)
  expect(await app.json('flows', 'list', '--state', 'failed')).toEqual({ flows: [] })
  expect((await app.command('flows', 'list', '--limit', '1')).stderr).toMatch(/more: --after [0-9a-f-]{36}/)

  const shown = await said(app, 'flows', 'show', id)
  expect(shown).toMatch(/^state +running · 0 of 3 ended$/m)
  expect(shown).toMatch(/^meta +tenant=acme$/m)
  expect(shown).toMatch(/^both: +running /m)
  expect(shown).toMatch(/^ {2}greet +ready .*waits for a worker$/m)
  expect(shown).toMatch(/^greet +blocked .* waits for both, greet$/m)
  expect(shown).toMatch(/^onEnd: greet +blocked .* waits for this flow$/m)
  expect((await app.command('flows', 'show', id, '--limit', '2')).stderr).toContain('a higher --limit')
  expect(await app.json('flows', 'show', id)).toMatchObject({
    id,
    total: 3,
    more: false,
    members: expect.arrayContaining([
      expect.objectContaining({ name: 'both', isFlow: true, depth: 0 }),
      expect.objectContaining({ name: 'greet', depth: 1, state: 'ready' }),
    ]) as unknown,
  })
})

test('a job shows what it needs, and what needs it', async () => {
  const app = makeApplication()
  const { id } = await dispatchVisit(app)
  const members = await app.errand.flows.members(id)
  const last = members.at(-1)?.id ?? ''
  const [both] = members
  const shown = await said(app, 'jobs', 'show', last)
  expect(shown).toMatch(new RegExp(`^flow +${id}$`, 'm'))
  expect(shown).toMatch(new RegExp(`^needs +flow ${both?.id} · open$`, 'm'))
  expect(shown).toMatch(/^ +[0-9a-f-]{36}, however it ends · open$/m)
  expect(shown).toMatch(/^waits for +flow /m)
  expect(await said(app, 'jobs', 'list', '--state', 'blocked')).toContain('waits for what it needs')
  const needed = members.find(({ isFlow, id: its }) => !isFlow && its !== last)?.id ?? ''
  expect(await said(app, 'jobs', 'show', needed)).toMatch(new RegExp(`^needed by +${last}$`, 'm'))
  await app.drain()
  expect(await app.json('jobs', 'show', last)).toMatchObject({
    flow: id,
    waitsForNeeds: false,
    needs: [{ on: both?.id, state: 'succeeded' }, { state: 'succeeded' }],
    neededBy: [],
  })
})

test('a flow is followed to its end; the exit code says whether it has succeeded', async () => {
  const app = makeApplication()
  const good = await dispatchVisit(app)
  const bad = await app.errand.dispatch(batch([stumble.with({ why: 'no' }, { delay: '1h' })]))
  await app.drain()
  const followed = await said(app, 'flows', 'follow', good.id)
  expect(followed).toMatch(/succeeded +visit: 3 of 3 ended\n$/)
  await said(app, 'flows', 'cancel', bad.id, '--by', 'mia')
  const { code, stdout } = await app.command('flows', 'follow', bad.id, '--json')
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    state: 'cancelled',
    cancelled: 1,
    cancelRequested: { by: 'mia' },
  })
})

test('a flow is cancelled, and replayed', async () => {
  const app = makeApplication()
  const { id } = await app.errand.dispatch(
    chain([greet.with({ name: 'ann' }, { delay: '1h' }), hello('bob')], { name: 'two' }),
  )
  expect(await said(app, 'flows', 'cancel', id, '--reason', 'no use')).toContain('2 jobs cancelled')
  expect(await said(app, 'flows', 'show', id)).toMatch(/^cancel +to be cancelled by .*: no use$/m)
  expect(await said(app, 'flows', 'cancel', id)).toContain('has ended, and is cancelled')
  expect(await said(app, 'flows', 'replay', id, '--dry-run')).toContain('2 members would be replayed')
  expect(await said(app, 'flows', 'replay', id)).toContain('2 members replayed')
  expect(await app.command('flows', 'replay', id)).toMatchObject({ code: 6 })
  await app.drain()
  expect(await said(app, 'flows', 'show', id)).toMatch(/^state +succeeded · 2 of 2 ended$/m)
})

test('what is no flow is not found, and a job is called one', async () => {
  const app = makeApplication()
  const job = await app.errand.dispatch(linger)
  for (const verb of ['show', 'cancel', 'replay', 'follow']) {
    expect(await app.command('flows', verb, randomUUID())).toMatchObject({ code: 3 })
    expect(await app.command('flows', verb, job.id)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('is a job') as string,
    })
  }
  expect(await app.command('flows', 'show', 'x')).toMatchObject({ code: 2 })
})

test('a job is dispatched after others by the command', async () => {
  const app = makeApplication()
  const { id } = await app.errand.dispatch(linger)
  const after = await app.json('dispatch', 'greet', '{"name":"eve"}', '--after', id)
  expect(await app.errand.jobs.needs((after as { id: string }).id)).toMatchObject([{ on: id }])
  expect(await app.command('dispatch', 'greet', '{"name":"eve"}', '--after', randomUUID())).toMatchObject({
    code: 3,
  })
})
