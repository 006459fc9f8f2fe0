import { connect as amqpConnect } from 'amqplib'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { systemClock } from '@errand/core/ports'
import { startFaultProxy } from '@errand/testkit'
import { Connection } from '../src/connection.ts'

const url = inject('amqp')
const never = (): Promise<never> => new Promise(() => {})

async function connection(answerTimeoutMs = 100) {
  const { hostname, port } = new URL(String(url))
  const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5672) })
  const open = new Connection(await amqpConnect(proxy.url(String(url))), 'here', systemClock, answerTimeoutMs)
  onTestFinished(async () => {
    await open.close()
    await proxy.close()
  })
  return { open, proxy }
}

describe.skipIf(url === undefined)('a question that is not answered', () => {
  it('costs the others nothing while the connection is alive: the queue is named', async () => {
    const { open } = await connection()
    await expect(open.answer('basic.consume of queue "q"', never)).rejects.toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('basic.consume of queue "q"'),
    })
    expect(open.ended.aborted).toBe(false)
    await (await open.channel()).close()
  })

  it('ends the connection when nothing else is answered either', async () => {
    const { open, proxy } = await connection()
    proxy.blackHole()
    await expect(open.answer('basic.consume', never)).rejects.toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('was lost'),
    })
    expect(open.ended.aborted).toBe(true)
  })

  it('ends with the connection, and not after its time', async () => {
    const { open, proxy } = await connection(3_600_000)
    const asked = expect(open.answer('channel.close', never)).rejects.toMatchObject({ code: 'E_DRIVER' })
    proxy.cut()
    await asked
  })
})
