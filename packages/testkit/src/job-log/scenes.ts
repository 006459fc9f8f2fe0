import { afterAll, onTestFinished } from 'vitest'
import type { JobLogHarness, LogUnderTest } from './harness.ts'
import { Scene } from './scene.ts'

export interface Scenes {
  /** A scene with its own queue and job name, on the log that this group of tests shares. */
  readonly scene: () => Promise<Scene>
  /** A scene on a new log, for tests that count everything in it, or that must not disturb others. */
  readonly fresh: () => Promise<Scene>
}

/** The scenes for the tests of one topic. The shared log is opened with the first scene and closed after the last test. */
export function scenes(harness: JobLogHarness): Scenes {
  let shared: Promise<LogUnderTest> | undefined
  afterAll(async () => {
    await (await shared)?.close()
  })
  const sceneOn = async (opened: LogUnderTest): Promise<Scene> => {
    const scene = await Scene.begin(opened)
    onTestFinished(() => scene.end())
    return scene
  }
  return {
    scene: async () => {
      shared ??= open(harness)
      return sceneOn(await shared)
    },
    fresh: async () => {
      const opened = await open(harness)
      onTestFinished(() => opened.close())
      return sceneOn(opened)
    },
  }
}

async function open(harness: JobLogHarness): Promise<LogUnderTest> {
  const opened = await harness.create()
  await opened.log.migrate()
  return opened
}
