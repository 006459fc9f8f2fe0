import type { SubjectEntry } from './subject.ts'

/** All subjects, in the order of a round. */
export const subjects: readonly SubjectEntry[] = [
  {
    name: 'errand-sqlite',
    kind: 'errand',
    needs: [],
    load: async () => (await import('./errand-sqlite.ts')).open,
  },
  {
    name: 'errand-postgres',
    kind: 'errand',
    needs: ['postgres'],
    load: async () => (await import('./errand-postgres.ts')).open,
  },
  {
    name: 'errand-rabbitmq',
    kind: 'errand',
    needs: ['postgres', 'amqp'],
    load: async () => (await import('./errand-rabbitmq.ts')).open,
  },
  {
    name: 'errand-sqs',
    kind: 'errand',
    needs: ['postgres', 'sqs'],
    load: async () => (await import('./errand-sqs.ts')).open,
  },
  {
    name: 'bullmq-redis',
    kind: 'peer',
    needs: ['redis'],
    load: async () => (await import('./bullmq-redis.ts')).open,
  },
  {
    name: 'bullmq-postgres',
    kind: 'peer',
    needs: ['postgres'],
    load: async () => (await import('./bullmq-postgres.ts')).open,
  },
  {
    name: 'graphile-worker',
    kind: 'peer',
    needs: ['postgres'],
    load: async () => (await import('./graphile-worker.ts')).plain,
  },
  {
    name: 'graphile-worker-local-queue',
    kind: 'peer',
    needs: ['postgres'],
    load: async () => (await import('./graphile-worker.ts')).withLocalQueue,
  },
  {
    name: 'pg-boss',
    kind: 'peer',
    needs: ['postgres'],
    load: async () => (await import('./pg-boss.ts')).open,
  },
  {
    name: 'boringnode-redis',
    kind: 'peer',
    needs: ['redis'],
    load: async () => (await import('./boringnode-redis.ts')).open,
  },
  {
    name: 'boringnode-knex',
    kind: 'peer',
    needs: ['postgres'],
    load: async () => (await import('./boringnode-knex.ts')).open,
  },
  {
    name: 'sqs-consumer',
    kind: 'peer',
    needs: ['sqs'],
    load: async () => (await import('./sqs-consumer.ts')).open,
  },
  {
    name: 'raw-amqplib',
    kind: 'limit',
    needs: ['amqp'],
    load: async () => (await import('./raw-amqplib.ts')).open,
  },
  {
    name: 'raw-sqs',
    kind: 'limit',
    needs: ['sqs'],
    load: async () => (await import('./raw-sqs.ts')).open,
  },
  {
    name: 'bare-postgres',
    kind: 'limit',
    needs: ['postgres'],
    load: async () => (await import('./bare-postgres.ts')).batchesOfSlots,
  },
  {
    name: 'bare-postgres-500',
    kind: 'limit',
    needs: ['postgres'],
    load: async () => (await import('./bare-postgres.ts')).batchesOf500,
  },
  {
    name: 'bare-sqlite',
    kind: 'limit',
    needs: [],
    load: async () => (await import('./bare-sqlite.ts')).open,
  },
]

export function subjectNamed(name: string): SubjectEntry {
  const found = subjects.find((subject) => subject.name === name)
  if (found) return found
  throw new Error(
    `there is no subject "${name}"; there are ${subjects.map((subject) => subject.name).join(', ')}`,
  )
}
