import { connect } from 'amqplib'
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import type { Payload } from '../measure/payload.ts'
import { getUrl } from '../servers/server.ts'
import type { OpenSubject } from './subject.ts'

const prefetch = 200

/** amqplib 2.3 alone: one quorum queue, persistent messages, a confirm for each, prefetch 200, an ack for each. */
export const open: OpenSubject = ({ urls, space }) => {
  const queue = `${space}.bench`
  let connection: ChannelModel | undefined
  let opening: Promise<ConfirmChannel> | undefined
  const channel = (): Promise<ConfirmChannel> => (opening ??= openChannel())
  const openChannel = async (): Promise<ConfirmChannel> => {
    // Without noDelay every publish waits up to 40 ms for a delayed ack.
    connection = await connect(getUrl(urls, 'amqp'), { noDelay: true })
    connection.on('error', (error) => console.error(error))
    const opened = await connection.createConfirmChannel()
    opened.on('error', (error) => console.error(error))
    return opened
  }
  const body = (payload: Payload): Buffer => Buffer.from(JSON.stringify(payload))
  return {
    prepare: async () => {
      const opened = await channel()
      await opened.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    },
    enqueue1: async (payload) => {
      const opened = await channel()
      return new Promise((resolve, reject) => {
        opened.sendToQueue(queue, body(payload), { persistent: true }, (error: Error | null) => {
          if (error) reject(error)
          else resolve(undefined)
        })
      })
    },
    enqueueBulk: async (payloads) => {
      const opened = await channel()
      for (const payload of payloads) opened.sendToQueue(queue, body(payload), { persistent: true })
      return opened.waitForConfirms()
    },
    work: async (started) => {
      const opened = await channel()
      await opened.prefetch(prefetch)
      await opened.consume(queue, (message) => {
        if (!message) return
        void started(JSON.parse(message.content.toString()) as Payload)
        opened.ack(message)
      })
    },
    close: async () => {
      await opening?.then((opened) => opened.close())
      await connection?.close()
    },
  }
}
