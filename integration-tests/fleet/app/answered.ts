import { setTimeout as sleep } from 'node:timers/promises'
import { isErrandError } from '@errand/core'

const codes = ['E_LOG_UNREACHABLE', 'E_DISPATCH_UNKNOWN', 'E_LOG', 'E_READ_ONLY'] as const

interface Asked {
  /** True: it asks no more. Default never. */
  readonly isOver?: () => boolean
  /** Called with each refusal. */
  readonly refused?: (text: string) => void
}

/** Asks until it gets an answer: the log may be away for a while, or not answer a commit. */
export async function answered<T>(
  ask: () => Promise<T>,
  { isOver, refused }: Asked = {},
): Promise<T | undefined> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const known = codes.find((code) => isErrandError(error, code))
      if (known === undefined) throw error
      refused?.(`${known}: ${(error as Error).message}`)
      if (isOver?.()) return undefined
      await sleep(100)
    }
  }
}
