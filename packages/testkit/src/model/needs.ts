import { isFinal } from '@errand/core/ports'
import type { NewJob } from '@errand/core/ports'
import type { ModelJob, ModelNeed } from './job.ts'

export function findNeeds({ needs = [] }: NewJob, jobs: readonly ModelJob[]): ModelNeed[] {
  return needs.map(({ on, mode }) => {
    const state = jobs.find(({ job }) => job.id === on)?.state
    return { on, mode, state: state !== undefined && isFinal(state) ? state : undefined }
  })
}

/** Whether it has what it needs. `never`: something has ended otherwise than it must. */
export function judgeNeeds({ needs }: ModelJob): 'met' | 'open' | 'never' {
  const isWrong = ({ mode, state }: ModelNeed): boolean =>
    state !== undefined &&
    ((mode === 'succeeded' && state !== 'succeeded') || (mode === 'unsuccessful' && state === 'succeeded'))
  if (needs.some(isWrong)) return 'never'
  return needs.some(({ state }) => state === undefined) ? 'open' : 'met'
}
