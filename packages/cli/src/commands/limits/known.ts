import type { Errand, LimitInfo } from '@errand/core'
import { didYouMean, ErrandError } from '@errand/core/ports'

/** The limit of that name. @throws `E_NOT_FOUND`, with the name that was meant. */
export async function knownLimit(errand: Errand, name: string): Promise<LimitInfo> {
  const found = await errand.limits.get(name)
  if (found) return found
  const names = (await errand.limits.list()).map((limit) => limit.name)
  const hint = names.length === 0 ? 'there is none at all' : didYouMean(name, names)
  throw new ErrandError('E_NOT_FOUND', `there is no limit ${name} in this log; ${hint}`)
}
