import { createHash } from 'node:crypto'
import type { Topic } from '@errand/core/ports'

/** The channel of a topic: names are cut at 63 bytes and shared by the whole database, so it is a hash of both. */
export function toChannel(schema: string, topic: Topic): string {
  return `errand_${createHash('sha256').update(`${schema} ${topic}`).digest('hex').slice(0, 40)}`
}
