import { isErrandError } from '../src/errors.ts'
import type { ErrandError } from '../src/errors.ts'

/** The ErrandError that `work` throws or rejects with; it fails the test when there is none. */
export async function catchRefusal(work: () => unknown): Promise<ErrandError> {
  try {
    await work()
  } catch (error) {
    if (isErrandError(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}
