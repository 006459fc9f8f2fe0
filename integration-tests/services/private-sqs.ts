import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface PrivateSqs {
  /** For `sqs(url)`. */
  readonly url: string
  readonly port: number
  readonly version: string
  /** Ends it as a power loss would: it forgets everything. `start()` brings it back, empty, on the same port. */
  kill(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

const launcher = fileURLToPath(new URL('fauxqs.ts', import.meta.url))
const manifest = new URL('../node_modules/fauxqs/package.json', import.meta.url)

/** An SQS of your own (fauxqs), which a test may kill. */
export async function startPrivateSqs(): Promise<PrivateSqs> {
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string }

  let server: ChildProcess | undefined
  const start = async (port: number): Promise<number> => {
    server = spawn(process.execPath, [launcher], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, FAUXQS_PORT: `${port}` },
    })
    return saidPort(server)
  }
  const end = async (): Promise<void> => {
    const ending = server
    server = undefined
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = once(ending, 'exit')
    ending.kill('SIGKILL')
    await ended
  }
  const port = await start(0)
  return {
    url: `sqs://test:test@eu-west-1?endpoint=http://127.0.0.1:${port}`,
    port,
    version,
    start: async () => void (await start(port)),
    kill: end,
    stop: end,
  }
}

function saidPort(server: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let complaint = ''
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2_000)
    })
    server.stdout?.setEncoding('utf8').once('data', (text: string) => resolve(Number(text)))
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`fauxqs ended with ${code}: ${complaint}`)))
  })
}
