// A stand-in for Prisma. Its client is generated code, and its generator downloads an engine: neither must be part of every
// test run. The shapes here are from Prisma 7.10 (`@prisma/adapter-pg`), with which the same stories were run.
import { Client, Pool } from 'pg'
import type { DatabaseError, PoolClient } from 'pg'
import { inTransaction } from './library.ts'
import { describeTransactions } from './stories.ts'

interface StandIn {
  $queryRawUnsafe(text: string, ...values: unknown[]): Promise<unknown>
}

const standIn = (client: Client | PoolClient): StandIn => ({
  $queryRawUnsafe: async (text, ...values) => {
    try {
      return (await client.query<Record<string, unknown>>(text, values)).rows
    } catch (cause) {
      const { code, message } = cause as DatabaseError
      throw Object.assign(new Error(`Raw query failed. Code: \`${code}\`. Message: \`${message}\``), {
        name: 'PrismaClientKnownRequestError',
        code: 'P2010',
        meta: {
          driverAdapterError: Object.assign(new Error('DriverAdapterError'), {
            cause: { kind: 'postgres', originalCode: code, originalMessage: message, code },
          }),
        },
      })
    }
  },
})

describeTransactions('Prisma (a stand-in)', async (url, notes) => {
  const pool = new Pool({ connectionString: url })
  const outside = new Client({ connectionString: url })
  await outside.connect()
  return {
    transaction: (work) => inTransaction(pool, (client) => work(standIn(client))),
    write: async (tx, text) =>
      void (await (tx as StandIn).$queryRawUnsafe(`insert into ${notes} values ($1)`, text)),
    notTransactions: { 'a Prisma client': { ...standIn(outside), $connect: async () => {} } },
    close: async () => {
      await outside.end()
      await pool.end()
    },
  }
})
