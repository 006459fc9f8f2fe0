import { expect, it } from 'vitest'
import { PauseGate } from '../../src/worker/intake/pause-gate.ts'

it('a gate behind another one is open when both are, and says the outer reason first', () => {
  const outer = new PauseGate()
  const inner = new PauseGate(outer)
  inner.join()
  expect(inner.isOpen).toBe(true)
  const asked = inner.signal
  inner.shut('paused', 'its queue is paused')
  outer.shut('lease', 'the lease is out')
  expect([asked.aborted, inner.isOpen, inner.why]).toEqual([true, false, 'the lease is out'])
  outer.clear('lease')
  expect([inner.isOpen, inner.why]).toEqual([false, 'its queue is paused'])
  inner.clear('paused')
  expect([inner.isOpen, inner.signal.aborted]).toEqual([true, false])
})

it('a gate that has left is not told any more, and one that joins again is told what it missed', () => {
  const outer = new PauseGate()
  const inner = new PauseGate(outer)
  inner.join()
  const asked = inner.signal
  inner.leave()
  outer.shut('lease', 'the lease is out')
  expect(asked.aborted).toBe(false)
  inner.join()
  expect(asked.aborted).toBe(true)
})
