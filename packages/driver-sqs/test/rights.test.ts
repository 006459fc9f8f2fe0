import { readFileSync } from 'node:fs'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import { describe, expect, inject, it } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { Corner, publish, subscribe, tickets } from './sqs.ts'

const url = inject('sqs')
const page = readFileSync(new URL('../../../docs/drivers/sqs.md', import.meta.url), 'utf8')

interface Policy {
  readonly Statement: readonly { readonly Action: readonly string[] }[]
}

/** What the policy under this heading of the page allows, in order. */
function allowed(role: 'Dispatcher' | 'Worker' | 'Operator'): string[] {
  const json = page.split(`**${role}**`)[1]?.split('```json')[1]?.split('```')[0] ?? '{}'
  return (JSON.parse(json) as Policy).Statement.flatMap(({ Action }) => Action).toSorted()
}

/** The rights that these requests need: a batch needs that of its single request, and tags need one of their own. */
function needed({ requests }: SqsFaults): string[] {
  const operations = Object.keys(requests).map((operation) => operation.replace(/Batch$/, ''))
  if (operations.includes('CreateQueue')) operations.push('TagQueue')
  return operations.map((operation) => `sqs:${operation}`).toSorted()
}

describe.skipIf(url === undefined).concurrent('the least rights of the documentation', () => {
  const scene = () => {
    const corner = new Corner(url!)
    const counter = new SqsFaults({ seed: 1 })
    return { corner, counter, driver: corner.open({ client: corner.faulty(counter) }) }
  }

  it('are all that a dispatcher uses', async () => {
    const { corner, counter, driver } = scene()
    await using _ = corner
    await publish(driver, tickets(1, 'media'))
    expect(needed(counter)).toEqual(allowed('Dispatcher'))
  })

  it('are all that a worker uses: it takes, acks, hands back, reads the depth and publishes', async () => {
    const { corner, counter, driver } = scene()
    await using _ = corner
    await publish(driver, tickets(2, 'media'))
    const subscription = await subscribe(driver, 'media')
    const [first] = await subscription.next(1, AbortSignal.timeout(scaleLimit(10_000)))
    await first!.ack()
    const [second] = await subscription.next(1, AbortSignal.timeout(scaleLimit(10_000)))
    await second!.release()
    await driver.depth('media')
    await subscription.close()
    expect(needed(counter)).toEqual(allowed('Worker'))
  })

  it('are all that an operator uses: it counts, purges and publishes what it cancels, changes or repairs', async () => {
    const { corner, counter, driver } = scene()
    await using _ = corner
    await publish(corner.open(), tickets(1, 'media'))
    await driver.depth('media')
    await driver.purge('media')
    await publish(driver, tickets(1, 'media'))
    expect(needed(counter)).toEqual(allowed('Operator'))
  })
})
