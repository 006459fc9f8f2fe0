import { expect, test } from 'vitest'
import { soakFaults } from './faults.ts'
import { readOptions } from './options.ts'
import type { Options } from './options.ts'

const read = (...given: readonly string[]): Options => readOptions(given, () => 4_711)

test('a soak has a length and a driver, a seed of its own, and every fault that can happen there', () => {
  const options = read('--minutes', '0.5', '--driver', 'sqlite')
  expect(options).toMatchObject({ mode: 'soak', place: 'sqlite', minutes: 0.5, rate: 20, seed: 4_711 })
  expect(options).toMatchObject({
    only: [
      'worker killed',
      'frozen past its lease',
      'event loop blocked',
      'SIGTERM',
      'rolling restart',
    ].concat(['dispatcher killed', 'database locked']),
  })
})

test('every fault can happen on some driver', () => {
  const anywhere = ['sqlite', 'postgres', 'rabbitmq', 'sqs'].flatMap((place) => {
    const options = read('--minutes', '1', '--driver', place)
    return options.mode === 'soak' ? options.only : []
  })
  expect(new Set(anywhere)).toEqual(new Set(soakFaults))
})

test('what pnpm passes on, a seed and a choice of faults are taken as they are given', () => {
  expect(
    read(
      '--',
      '--minutes',
      '10',
      '--driver',
      'sqs',
      '--seed',
      '7',
      '--only',
      'SIGTERM, SQS throttled',
      '--json',
    ),
  ).toMatchObject({ minutes: 10, seed: 7, only: ['SIGTERM', 'SQS throttled'], json: true })
})

test('a deep queue has a number of jobs', () => {
  expect(read('--jobs', '1_000_000', '--driver', 'postgres')).toEqual({
    mode: 'backlog',
    jobs: 1_000_000,
    json: false,
  })
})

test.each([
  [[], '--driver is missing; there are sqlite, postgres, rabbitmq, sqs'],
  [['--driver', 'kafka', '--minutes', '1'], 'there is no driver "kafka"'],
  [['--driver', 'sqlite'], '--minutes N is missing'],
  [['--driver', 'sqlite', '--minutes', '0'], '--minutes is a number above 0, and at most 1440, not "0"'],
  [['--driver', 'sqlite', '--minutes', 'ten'], 'not "ten"'],
  [['--driver', 'sqlite', '--minutes', ''], 'not ""'],
  [['--driver', 'sqlite', '--minutes', '1', '--rate', '-5'], 'ambiguous'],
  [['--driver', 'sqlite', '--minutes', '1', '--rate=-5'], '--rate is a number above 0'],
  [['--driver', 'sqlite', '--minutes', '1', '--seed', '1.5'], '--seed is a whole number from 0, not "1.5"'],
  [['--driver', 'sqlite', '--minutes', '1', '--only', 'flood'], 'there is no fault "flood"; on sqlite'],
  [
    ['--driver', 'sqlite', '--minutes', '1', '--only', 'broker killed'],
    '"broker killed" cannot happen on sqlite',
  ],
  [['--driver', 'postgres', '--minutes', '1', '--jobs', '5000'], 'two different runs'],
  [['--driver', 'rabbitmq', '--jobs', '5000'], 'give --driver postgres, not rabbitmq'],
  [['--driver', 'postgres', '--jobs', '20'], '--jobs is a whole number from 2000, not "20"'],
  [['--driver', 'postgres', '--jobs', '5000', '--seed', '1'], '--seed belongs to --minutes'],
  [['--driver', 'postgres', '--hours', '5'], "Unknown option '--hours'"],
])('%j is refused: %s', (given, message) => {
  expect(() => read(...given)).toThrow(message)
})
