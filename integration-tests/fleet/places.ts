/** What Errand runs on, by the name of what moves the tickets; the last two have their log on PostgreSQL. */
export const placeNames = ['sqlite', 'postgres', 'rabbitmq', 'sqs'] as const
export type PlaceName = (typeof placeNames)[number]

export const placeTitles: Readonly<Record<PlaceName, string>> = {
  sqlite: 'SQLite',
  postgres: 'PostgreSQL',
  rabbitmq: 'RabbitMQ + PostgreSQL',
  sqs: 'SQS + PostgreSQL',
}
