import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import type { World } from './world.ts'

const real = {
  random: Math.random,
  now: Date.now,
  setImmediate: globalThis.setImmediate,
  setTimeout: globalThis.setTimeout,
  setInterval: globalThis.setInterval,
  randomUUID: crypto.randomUUID,
  randomFillSync: crypto.randomFillSync,
}

let world: World | undefined

/** Steps that are scheduled at once: they share one turn of the event loop. */
const stepsInOneRound = 64

/**
 * Takes one step after another until one answers. Each step waits until the promises of the previous one have nothing left
 * to do: Node runs all of them between two immediates.
 */
export function inTurns<T>(step: () => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const take = (): void => {
      if (isOver) return
      try {
        const answer = step()
        if (answer === undefined) return
        isOver = true
        resolve(answer)
      } catch (error) {
        isOver = true
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    }
    const goRound = (): void => {
      if (isOver) return
      for (let steps = 0; steps < stepsInOneRound; steps += 1) real.setImmediate(take)
      real.setImmediate(goRound)
    }
    goRound()
  })
}

/** From now on random numbers and time come from this world, until the returned function is called. */
export function enterWorld(entered: World): () => void {
  world = entered
  return () => {
    world = undefined
  }
}

/**
 * Replaces all functions that give code random numbers and time of the machine with those of the running world. Call it
 * before the code under test is loaded, because a module may keep a function that it has read once.
 */
export function replaceGlobals(): void {
  Math.random = () => world?.chance.next() ?? real.random()
  Date.now = () => (world ? Math.floor(world.nowMs) : real.now())
  crypto.randomUUID = ((options) =>
    world ? world.chance.uuid() : real.randomUUID(options)) as typeof crypto.randomUUID
  crypto.randomFillSync = ((into: Uint8Array) =>
    world?.chance.bytes(into) ?? real.randomFillSync(into)) as typeof crypto.randomFillSync
  // Functions that are imported by name are replaced only now.
  syncBuiltinESMExports()

  globalThis.setImmediate = ((run: (...given: unknown[]) => void, ...given: unknown[]) => {
    const { current } = world ?? {}
    if (!world) return real.setImmediate(run, ...given)
    world.at(0, () => (current ? current.enter(() => run(...given)) : run(...given)))
    return undefined
  }) as unknown as typeof setImmediate
  globalThis.setTimeout = refused('setTimeout', real.setTimeout)
  globalThis.setInterval = refused('setInterval', real.setInterval)
}

/** A real timer would make a run depend on how fast the machine is. */
function refused<T>(name: string, timer: T): T {
  const call = timer as (...given: unknown[]) => unknown
  return ((...given: unknown[]) => {
    if (world) throw new Error(`${name} was called in a simulation: use the clock that was given`)
    return call(...given)
  }) as T
}
