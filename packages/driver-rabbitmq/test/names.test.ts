import { describe, expect, it } from 'vitest'
import { brokerQueue, brokerQueues } from '../src/names.ts'

describe('names of queues', () => {
  it('hold prefix, queue, lane and version', () => {
    expect(brokerQueue('errand', 'media', 'high')).toBe('errand:media:high:v1')
    expect(brokerQueues('errand', 'q')).toHaveLength(4)
  })

  it('fit into the 255 bytes that AMQP has for a name', () => {
    expect(brokerQueue('p'.repeat(64), 'q'.repeat(64), 'critical').length).toBeLessThan(255)
  })
})
