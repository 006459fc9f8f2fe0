import { userInfo } from 'node:os'
import { describe, expect, test } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { greet, linger, once, ordered, stumble } from './fixtures/jobs.ts'
import { makeApplication } from './helpers/application.ts'

const unknown = '01890000-0000-7000-8000-000000000000'

describe('jobs list and show', () => {
  test('lists page by page, newest first, with what a filter asks for', async () => {
    const app = makeApplication()
    const first = await app.errand.dispatch(greet, { name: 'a' }, { tags: ['x'] })
    const second = await app.errand.dispatch(greet, { name: 'b' }, { delay: '1h' })
    const page = await app.json<{ readonly jobs: readonly { id: string }[]; readonly next: string }>(
      'jobs',
      'list',
      '--limit',
      '1',
    )
    expect(page.jobs.map(({ id }) => id)).toEqual([second.id])
    expect(await app.json('jobs', 'list', '--after', page.next)).toMatchObject({ jobs: [{ id: first.id }] })
    expect(await app.json('jobs', 'list', '--tag', 'x', '--queue', 'default')).toMatchObject({
      jobs: [{ id: first.id }],
    })
    expect(await app.json('jobs', 'list', '--state', 'scheduled')).toMatchObject({
      jobs: [{ id: second.id }],
    })
    expect(await app.json('jobs', 'list', '--job', 'linger')).toEqual({ jobs: [] })
    expect(await app.json('jobs', 'list', '--before', '1h')).toEqual({ jobs: [] })
  })

  test('in a pipe a table is plain text, complete, and tells that there is more', async () => {
    const app = makeApplication()
    await app.errand.dispatch(greet, { name: 'a' })
    const { id } = await app.errand.dispatch(greet, { name: 'b' })
    const ran = await app.command('jobs', 'list', '--limit', '1')
    expect(ran.stdout).toMatch(/^ID +JOB +QUEUE +LANE +STATE/)
    expect(ran.stdout).toContain(id)
    expect(ran.stdout).not.toContain('\u001b')
    expect(ran.stderr).toContain(`--after ${id}`)
  })

  test('shows what happened to a job that failed, in order', async () => {
    const app = makeApplication()
    const { id } = await app.errand.dispatch(ordered, { key: 'k', fail: true })
    await app.drain()
    const { history } = await app.json<{ readonly history: readonly { type: string }[] }>('jobs', 'show', id)
    expect(history.map(({ type }) => type)).toEqual(['dispatched', 'started', 'errored', 'failed'])
    const text = await app.command('jobs', 'show', id)
    expect(text.stdout).toMatch(/error +Error: out of order/)
    expect(text.stdout).toMatch(/4 .*failed/)
  })

  test('shows the whole reason of an error: its cause, its code and its plain fields', async () => {
    const app = makeApplication()
    const { id } = await app.errand.dispatch(stumble, { why: 'fetch failed' })
    await app.drain()
    const { stdout } = await app.command('jobs', 'show', id)
    expect(stdout).toMatch(/error +TypeError: fetch failed ← Error: connect ECONNREFUSED\n/)
    expect(stdout).toMatch(/errored .*fetch failed ← Error: connect ECONNREFUSED/)
    expect(stdout).toMatch(/caused by: Error: connect ECONNREFUSED\n.* at /)
    expect(stdout).toContain('code=ECONNREFUSED errno=-111')
    const cause = { code: 'ECONNREFUSED', fields: { errno: -111 } }
    expect(await app.json('jobs', 'show', id)).toMatchObject({
      error: { message: 'fetch failed', cause },
      history: [{}, {}, { type: 'errored', error: { cause } }],
    })
  })

  test('an unknown job is exit 3, an id that is none is exit 2', async () => {
    const app = makeApplication()
    const missing = await app.command('jobs', 'show', unknown)
    expect(missing).toMatchObject({ code: 3, stdout: '' })
    expect(missing.stderr).toContain('E_NOT_FOUND')
    expect(await app.command('jobs', 'show', 'nope')).toMatchObject({ code: 2 })
  })
})

describe('jobs cancel', () => {
  test('cancels by id, and says in the history who did it and why', async () => {
    const app = makeApplication()
    const receipt = await app.errand.dispatch(greet, { name: 'a' })
    expect(
      await app.json('jobs', 'cancel', receipt.id, '--by', 'mia', '--reason', 'wrong customer'),
    ).toMatchObject({ cancelled: 1 })
    const last = (await app.errand.events.of(receipt.id)).at(-1)
    expect(last).toMatchObject({ type: 'cancelled', by: 'mia', reason: 'wrong customer' })
  })

  test('without --by it is the user of the system', async () => {
    const app = makeApplication()
    const { id } = await app.errand.dispatch(greet, { name: 'a' })
    await app.command('jobs', 'cancel', id)
    expect((await app.errand.events.of(id)).at(-1)).toMatchObject({ by: userInfo().username })
  })

  test('a filter needs --yes where nobody can be asked; --dry-run only tells', async () => {
    const app = makeApplication()
    const tagged = await app.errand.dispatch(greet, { name: 'a' }, { tags: ['x'] })
    const other = await app.errand.dispatch(greet, { name: 'b' })
    const asked = await app.command('jobs', 'cancel', '--tag', 'x')
    expect(asked).toMatchObject({ code: 2 })
    expect(asked.stderr).toMatch(/E_OPTION.*cancel 1 job\?.*--yes/)
    const dry = await app.command('jobs', 'cancel', '--tag', 'x', '--dry-run')
    expect(dry).toMatchObject({ code: 0 })
    expect(dry.stdout).toContain(tagged.id)
    expect(dry.stdout).toContain('1 job would be cancelled')
    expect((await app.job(tagged)).state).toBe('ready')

    expect(await app.json('jobs', 'cancel', '--tag', 'x', '--yes')).toMatchObject({ cancelled: 1 })
    expect((await app.job(tagged)).state).toBe('cancelled')
    expect((await app.job(other)).state).toBe('ready')
  })

  test('a filter reaches every job that waits, over all pages', async () => {
    const app = makeApplication()
    await app.errand.dispatchMany(
      Array.from({ length: 700 }, (_, i) => greet.with({ name: String(i) }, i % 2 ? { delay: '1h' } : {})),
    )
    expect(await app.json('jobs', 'cancel', '--queue', 'default', '--yes')).toMatchObject({ cancelled: 700 })
    expect(await app.json('queues', 'list')).toEqual([])
  })

  test('nothing is cancelled when one of the ids is unknown, or when nothing says which', async () => {
    const app = makeApplication()
    const receipt = await app.errand.dispatch(greet, { name: 'a' })
    expect(await app.command('jobs', 'cancel', receipt.id, unknown)).toMatchObject({ code: 3 })
    expect(await app.command('jobs', 'cancel')).toMatchObject({ code: 2 })
    expect(await app.command('jobs', 'cancel', receipt.id, '--tag', 'x', '--yes')).toMatchObject({ code: 2 })
    expect((await app.job(receipt)).state).toBe('ready')
  })

  test('a job that has ended is left as it is, exit 6', async () => {
    const app = makeApplication()
    const { id } = await app.errand.dispatch(greet, { name: 'a' })
    await app.errand.jobs.cancel(id, { by: 'test' })
    const again = await app.command('jobs', 'cancel', id)
    expect(again).toMatchObject({ code: 6 })
    expect(again.stderr).toContain('it is cancelled')
  })

  test('a job that runs in another process is aborted there', async () => {
    const app = makeApplication()
    const worker = app.start(['work'])
    const receipt = await app.errand.dispatch(linger)
    await worker.saying(/it lingers/)
    expect(await app.json('jobs', 'cancel', receipt.id)).toMatchObject({ cancelled: 1 })
    await expect(app.errand.result(receipt, { timeout: scaleLimit(30_000) })).rejects.toMatchObject({
      code: 'E_RESULT_FAILED',
    })
    expect(await app.history(receipt)).toContain('cancel_requested')
    expect((await app.job(receipt)).state).toBe('cancelled')
  })
})

describe('jobs replay, skip and change', () => {
  test('a failed job blocks its key, keys tells so, and a replay takes its turn again', async () => {
    const app = makeApplication()
    const failing = await app.errand.dispatch(ordered, { key: 'k', fail: true })
    const behind = await app.errand.dispatch(ordered, { key: 'k' })
    await app.drain()
    expect(await app.json('keys')).toMatchObject([{ key: 'k', holder: failing.id, waiting: 1 }])
    expect((await app.command('keys')).stdout).toMatch(new RegExp(`default +k +${failing.id} +1`))

    expect(await app.command('jobs', 'replay', failing.id, '--reason', 'try again')).toMatchObject({
      code: 0,
    })
    expect((await app.job(failing)).state).toBe('ready')
    expect((await app.job(behind)).state).toBe('blocked')
  })

  test('skip gives the key of a failed job to the next one', async () => {
    const app = makeApplication()
    const failing = await app.errand.dispatch(ordered, { key: 'k', fail: true })
    const behind = await app.errand.dispatch(ordered, { key: 'k' })
    await app.drain()
    expect(await app.json('jobs', 'skip', failing.id)).toMatchObject({ skipped: 1 })
    expect((await app.job(behind)).state).toBe('ready')
    expect((await app.job(failing)).state).toBe('failed')
    // It no longer holds its key.
    expect(await app.command('jobs', 'skip', failing.id)).toMatchObject({ code: 6 })
  })

  test('a replay by filter means failed jobs, and not those that succeeded', async () => {
    const app = makeApplication()
    const failed = await app.errand.dispatch(ordered, { key: 'k', fail: true })
    const succeeded = await app.errand.dispatch(ordered, { key: 'other' })
    await app.drain()
    expect(await app.json('jobs', 'replay', '--job', 'ordered', '--yes')).toMatchObject({ replayed: 1 })
    expect((await app.job(failed)).state).toBe('ready')
    expect((await app.job(succeeded)).state).toBe('succeeded')
  })

  test('a replay is refused while another job holds the unique key; others of the same call go on', async () => {
    const app = makeApplication()
    const first = await app.errand.dispatch(once, { key: 'k' })
    const other = await app.errand.dispatch(greet, { name: 'a' })
    for (const { id } of [first, other]) await app.errand.jobs.cancel(id, { by: 'test' })
    await app.errand.dispatch(once, { key: 'k' })
    const ran = await app.command('jobs', 'replay', first.id, other.id, '--json')
    expect(JSON.parse(ran.stdout)).toMatchObject({ replayed: 1, left: [{ id: first.id }] })
    expect((await app.job(other)).state).toBe('ready')
    expect(await app.command('jobs', 'replay', first.id)).toMatchObject({ code: 6 })
  })

  test('change edits lane, time and payload of a job that waits', async () => {
    const app = makeApplication()
    const receipt = await app.errand.dispatch(greet, { name: 'a' })
    await app.command(
      'jobs',
      'change',
      receipt.id,
      '--lane',
      'critical',
      '--delay',
      '1h',
      '--payload',
      '{"name":"b"}',
      '--by',
      'mia',
    )
    expect(await app.job(receipt)).toMatchObject({
      lane: 'critical',
      state: 'scheduled',
      payload: { name: 'b' },
    })
    expect((await app.errand.events.of(receipt.id)).at(-1)).toMatchObject({ type: 'changed', by: 'mia' })
    await app.command('jobs', 'change', receipt.id, '--delay', '0s')
    expect((await app.job(receipt)).state).toBe('ready')
  })

  test('change is refused without anything to change, and for a job that has ended', async () => {
    const app = makeApplication()
    const { id } = await app.errand.dispatch(greet, { name: 'a' })
    expect(await app.command('jobs', 'change', id)).toMatchObject({ code: 2 })
    await app.errand.jobs.cancel(id, { by: 'test' })
    expect(await app.command('jobs', 'change', id, '--lane', 'low')).toMatchObject({ code: 6 })
  })
})
