import type { AsyncCommand } from 'fast-check'
import type { ModelJob } from './job.ts'
import type { LifecycleRules } from './rules.ts'
import type { World } from './world.ts'

/** One act, done to the rules and to the log. Both must give the same answer and have the same state after it. */
export abstract class Command implements AsyncCommand<LifecycleRules, World> {
  check(_rules: LifecycleRules): boolean {
    return true
  }

  async run(rules: LifecycleRules, world: World): Promise<void> {
    await this.perform(rules, world)
    await world.compare(rules)
  }

  protected abstract perform(rules: LifecycleRules, world: World): Promise<void>
  abstract toString(): string
}

/** Picks from a list that grows with the run: any number picks an entry. */
export function pickFrom<T>(items: readonly T[], number: number): T {
  return items[number % items.length]!
}

/** A command about a job. It runs only if there is a job. */
export abstract class JobCommand extends Command {
  protected readonly number: number

  constructor(number: number) {
    super()
    this.number = number
  }

  override check(rules: LifecycleRules): boolean {
    return rules.jobs.length > 0
  }

  protected job(rules: LifecycleRules): ModelJob {
    return pickFrom(rules.jobs, this.number)
  }
}
