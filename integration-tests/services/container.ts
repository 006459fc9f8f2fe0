import { importServer } from './servers.ts'

export interface Image {
  /** `rabbitmq:4-alpine` */
  readonly image: string
  readonly port: number
  /** The line that it logs when it can be used, and how often. */
  readonly ready: string
  readonly times?: number | undefined
  readonly environment?: Readonly<Record<string, string>> | undefined
}

export interface StartedContainer {
  readonly host: string
  readonly port: number
  stop(): Promise<void>
}

/** Starts a container; undefined if `testcontainers` is not installed. Throws if no Docker answers. */
export async function startContainer(
  { image, port, ready, times = 1, environment = {} }: Image,
  load: () => Promise<unknown> = () => importServer('testcontainers'),
): Promise<StartedContainer | undefined> {
  const containers = (await load()) as Testcontainers | undefined
  if (!containers) return undefined
  try {
    const started = await new containers.GenericContainer(image)
      .withEnvironment(environment)
      .withExposedPorts(port)
      .withWaitStrategy(containers.Wait.forLogMessage(ready, times))
      .start()
    return {
      host: started.getHost(),
      port: started.getMappedPort(port),
      stop: async () => void (await started.stop()),
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const missing = /container runtime/i.test(why) ? 'Docker does not run here: ' : ''
    throw new Error(`${image}: ${missing}${why}`, { cause: error })
  }
}

/** The parts of `testcontainers` that are used here. It is installed in its own workspace, so its types are not visible. */
interface Testcontainers {
  GenericContainer: new (image: string) => Container
  Wait: { forLogMessage(text: string, times: number): unknown }
}
interface Container {
  withEnvironment(environment: Record<string, string>): Container
  withExposedPorts(...ports: number[]): Container
  withWaitStrategy(strategy: unknown): Container
  start(): Promise<{ getHost(): string; getMappedPort(port: number): number; stop(): Promise<unknown> }>
}
