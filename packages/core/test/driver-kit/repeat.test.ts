import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { virtualClock } from '../../src/testing.ts'
import { repeat, unlessAborted, withDeadline } from '../../src/driver-kit.ts'

const passing = new Error('busy')
const never = new Promise<never>(() => {})

/** Fails this often, and then answers. */
const failing = (times: number, error: unknown = passing) =>
  vi.fn(async () => {
    times -= 1
    if (times >= 0) throw error
    return 'answer'
  })
const isPassing = (error: unknown): boolean => error === passing

describe('a call that is repeated', () => {
  it('is made again while it fails for reasons that pass, and at most so often', async () => {
    expect(await repeat(failing(2), { tries: 3, isPassing })).toBe('answer')
    const call = failing(3)
    await expect(repeat(call, { tries: 3, isPassing })).rejects.toBe(passing)
    expect(call).toHaveBeenCalledTimes(3)
  })

  it('is not made again for a reason that stays', async () => {
    const call = failing(1, new Error('forbidden'))
    await expect(repeat(call, { tries: 3, isPassing })).rejects.toThrow('forbidden')
    expect(call).toHaveBeenCalledTimes(1)
  })

  it('pauses in between, longer each time', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    onTestFinished(() => void vi.restoreAllMocks())
    const clock = virtualClock()
    const call = failing(2)
    const result = repeat(call, { tries: 3, pauseMs: 1_000, isPassing, clock })
    await clock.advance(999)
    expect(call).toHaveBeenCalledTimes(1)
    await clock.advance(1)
    expect(call).toHaveBeenCalledTimes(2)
    await clock.advance(1_999)
    expect(call).toHaveBeenCalledTimes(2)
    await clock.advance(1)
    expect(await result).toBe('answer')
  })

  it('is not made any more once the signal has aborted', async () => {
    const clock = virtualClock()
    const ending = new AbortController()
    const call = failing(9)
    const result = repeat(call, { tries: 9, pauseMs: 1_000, isPassing, clock, signal: ending.signal })
    await clock.advance(0)
    ending.abort(new Error('closed'))
    await expect(result).rejects.toThrow('closed')
    expect(call).toHaveBeenCalledTimes(1)
  })
})

describe('a call with a deadline', () => {
  it('ends with its answer, or fails as it does', async () => {
    expect(await withDeadline(1_000, async () => 'answer')).toBe('answer')
    await expect(withDeadline(1_000, failing(1))).rejects.toBe(passing)
  })

  it('fails at the deadline, even when the call ignores its signal', async () => {
    const clock = virtualClock()
    let given: AbortSignal | undefined
    const result = withDeadline(1_000, (signal) => ((given = signal), never), { clock })
    const refused = expect(result).rejects.toMatchObject({
      name: 'TimeoutError',
      message: 'no answer within 1 s',
    })
    await clock.advance(999)
    expect(given?.aborted).toBe(false)
    await clock.advance(1)
    expect(given?.aborted).toBe(true)
    await refused
  })

  it('fails with the reason of whichever signal aborts, and is not made after that', async () => {
    const closing = new AbortController()
    const signals = [new AbortController().signal, closing.signal]
    const result = withDeadline(60_000, () => never, { signals })
    closing.abort(new Error('closed'))
    await expect(result).rejects.toThrow('closed')
    const call = vi.fn(async () => 'answer')
    await expect(withDeadline(60_000, call, { signals })).rejects.toThrow('closed')
    expect(call).not.toHaveBeenCalled()
  })
})

describe('waiting unless a signal aborts', () => {
  const late = (): 'late' => 'late'

  it('ends as the work does, or as the caller says once it has aborted', async () => {
    const ending = new AbortController()
    expect(await unlessAborted(Promise.resolve(7), ending.signal, late)).toBe(7)
    expect(await unlessAborted(Promise.resolve(7), undefined, late)).toBe(7)
    await expect(unlessAborted(failing(1)(), ending.signal, late)).rejects.toBe(passing)
    const waiting = unlessAborted(never, ending.signal, late)
    ending.abort()
    expect(await waiting).toBe('late')
    expect(await unlessAborted(never, ending.signal, late)).toBe('late')
    const refuse = (): never => {
      throw new Error('too late')
    }
    await expect(unlessAborted(never, ending.signal, refuse)).rejects.toThrow('too late')
  })

  it('leaves work that fails afterwards alone', async () => {
    const work = Promise.withResolvers<never>()
    const result = unlessAborted(work.promise, AbortSignal.abort(), late)
    expect(await result).toBe('late')
    work.reject(new Error('nobody waits for it'))
    // An unhandled rejection would fail the run.
    await new Promise((resolve) => setImmediate(resolve))
  })
})
