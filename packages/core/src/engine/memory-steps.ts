import type { NewMessage, StoredStep, UnreadMessage } from '../job/memory.ts'
import type { StepRow, StepStore, StepTotals } from './step-store.ts'

/** What jobs remember, in plain maps. */
export abstract class MemorySteps implements Omit<StepStore, 'stateOf'> {
  readonly #steps = new Map<string, Map<string, StoredStep>>()
  readonly #messages = new Map<string, Map<string, UnreadMessage>>()

  #stepsOf(job: string): StoredStep[] {
    return [...(this.#steps.get(job)?.values() ?? [])]
  }

  step(job: string, name: string): StoredStep | undefined {
    return this.#steps.get(job)?.get(name)
  }
  stepTotals(job: string): StepTotals {
    const steps = this.#stepsOf(job)
    return {
      steps: steps.length,
      order: Math.max(0, ...steps.map(({ order = 0 }) => order)),
      characters: steps.reduce((sum, { body }) => sum + (body?.text.length ?? 0), 0),
    }
  }
  steps(job: string): StoredStep[] {
    return this.#stepsOf(job).toSorted((a, b) => (a.order ?? Infinity) - (b.order ?? Infinity) || 0)
  }
  openWaits(job: string): StoredStep[] {
    return this.#stepsOf(job).filter(({ order }) => order === undefined)
  }
  saveStep({ job, ...step }: StepRow): void {
    const ofJob = this.#steps.get(job) ?? new Map<string, StoredStep>()
    this.#steps.set(job, ofJob.set(step.name, step))
  }

  unread(job: string, name: string | undefined, limit: number): UnreadMessage[] {
    return [...(this.#messages.get(job)?.values() ?? [])]
      .filter((message) => name === undefined || message.name === name)
      .slice(0, limit)
  }
  countUnread(job: string): number {
    return this.#messages.get(job)?.size ?? 0
  }
  hasMessage(job: string, id: string): boolean {
    return (
      this.#messages.get(job)?.has(id) === true ||
      this.#stepsOf(job).some(({ messageId }) => messageId === id)
    )
  }
  addMessage({ job, id, name, by, payload }: NewMessage, at: number): void {
    const ofJob = this.#messages.get(job) ?? new Map<string, UnreadMessage>()
    this.#messages.set(job, ofJob.set(id, { id, name, by, at, payload }))
  }
  takeMessage(job: string, id: string): void {
    this.#messages.get(job)?.delete(id)
  }

  forget(jobs: readonly string[]): void {
    for (const job of jobs) {
      this.#steps.delete(job)
      this.#messages.delete(job)
    }
  }
}
