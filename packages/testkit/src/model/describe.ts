import * as fc from 'fast-check'
import { describe, it } from 'vitest'
import type { JobLogHarness } from '../job-log/harness.ts'
import type { Scene } from '../job-log/scene.ts'
import { scenes } from '../job-log/scenes.ts'
import { dispatcherCommands } from './dispatchers.ts'
import { operatorCommands, relayCommands, timeCommands } from './operators.ts'
import { LifecycleRules } from './rules.ts'
import { workerCommands } from './workers.ts'
import { hangsAfterMs } from '../slowness.ts'
import { times, World } from './world.ts'

const mostCommands = 150

export interface LifecycleModelOptions {
  /** How many random runs are tried. Default 50. */
  readonly runs?: number | undefined
  /** The most commands in one run. Default 150. */
  readonly commands?: number | undefined
  /** The seed that a failure printed repeats it. Default: another one every time. */
  readonly seed?: number | undefined
}

/**
 * Does random acts on a log and on a second, much simpler form of the rules. After every act both must agree about every
 * job, and at the end about every event. If the clock can be moved, leases, delays and deadlines run out too.
 * @example describeLifecycleModel('my log', harness, { runs: 100 })
 */
export function describeLifecycleModel(
  name: string,
  harness: JobLogHarness,
  options: LifecycleModelOptions = {},
): void {
  const { scene } = scenes(harness)

  describe(`lifecycle model on ${name}`, { timeout: hangsAfterMs }, () => {
    it('a log does what the rules say, whatever dispatchers, workers, operators and relays do', async () => {
      const commands = modelOfLifecycle({ advance: harness.capabilities.advance, commands: options.commands })
      await fc.assert(
        fc.asyncProperty(commands, async (life) => {
          const world = await beginWorld(await scene())
          const rules = new LifecycleRules()
          await settleIn(world, rules)
          try {
            await fc.asyncModelRun(() => ({ model: rules, real: world }), life)
            await world.compareHistories(rules)
          } finally {
            await clear(world)
            // Moves past the time for which sweeps hold back because of this run's leases, before the next run begins.
            if (harness.capabilities.advance) await world.on.jump(2 * times.lease)
          }
        }),
        { numRuns: options.runs ?? 50, ...(options.seed === undefined ? {} : { seed: options.seed }) },
      )
    })
  })
}

/** The commands of the model, in any order and number, for your own properties. */
export function modelOfLifecycle(options: {
  readonly advance: boolean
  readonly commands?: number | undefined
}): fc.Arbitrary<Iterable<fc.AsyncCommand<LifecycleRules, World>>> {
  const weighted = [
    ...dispatcherCommands,
    ...workerCommands,
    ...operatorCommands,
    ...relayCommands,
    ...(options.advance ? timeCommands : []),
  ]
  // fast-check chooses evenly from a list, so a likelier command is in it more often.
  const all = weighted.flatMap(([weight, command]) => Array.from({ length: weight }, () => command))
  return fc.commands<LifecycleRules, World, false>(all, {
    maxCommands: options.commands ?? mostCommands,
    size: 'max',
  })
}

async function beginWorld(on: Scene): Promise<World> {
  const worker = () => on.worker({ leaseMs: times.lease, graceMs: 0 })
  return new World(on, [await worker(), await worker(), await worker()])
}

/** Beats for the workers and sweeps until sweeping is regular. From here on the rules know everything. */
async function settleIn(world: World, rules: LifecycleRules): Promise<void> {
  for (const worker of world.workers) {
    rules.beat(worker.id, worker.leaseMs, worker.graceMs, [world.on.queue])
  }
  await world.on.sweep()
  rules.settleIn()
}

/** Removes everything of this run that could disturb the next one. */
async function clear(world: World): Promise<void> {
  await world.on.end()
  await world.log.resume(world.on.queue, { by: 'model' })
  const live = (await world.records()).filter(({ finishedAt }) => finishedAt === undefined)
  await world.log.cancel(
    live.map(({ id }) => id),
    { by: 'model' },
  )
}
