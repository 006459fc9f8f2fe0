import { ErrandError } from '../errors.ts'

/** `await` gives an array; `for await` reads it page by page. */
export interface Listing<T> extends AsyncIterable<T>, PromiseLike<readonly T[]> {}

export const mostListed = 1_000_000
/** The most in one array without a limit. */
const mostCollected = 10_000

/** @param noun of the errors, and of the function that lists */
export function listing<T>(
  noun: string,
  iterate: () => AsyncGenerator<T, void>,
  limit: number | undefined,
): Listing<T> {
  return {
    [Symbol.asyncIterator]: iterate,
    // oxlint-disable-next-line unicorn/no-thenable -- it is awaited where its neighbours are, and was `{}` then
    then: (kept, refused) => collected(noun, iterate(), limit).then(kept, refused),
  }
}

async function collected<T>(noun: string, all: AsyncIterable<T>, limit: number | undefined): Promise<T[]> {
  const found: T[] = []
  for await (const one of all) {
    if (limit === undefined && found.length === mostCollected) {
      throw new ErrandError(
        'E_OPTION',
        `there are more than ${mostCollected} such ${noun}; give the list a limit, or read them with for await (…)`,
      )
    }
    found.push(one)
  }
  return found
}
