import { SQSClient } from '@aws-sdk/client-sqs'
import { sqs } from '@errand/driver-sqs'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import type { SqsFaultRates } from '@errand/testkit/sqs-faults'
import type { FaultyDriver } from './driver.ts'

/** The driver of a URL, with faults between it and the SDK. They begin on request. */
export function faultySqs(url: string): FaultyDriver {
  const { hostname, username, password, searchParams } = new URL(url)
  const client = new SQSClient({
    region: hostname,
    endpoint: searchParams.get('endpoint') ?? '',
    credentials: { accessKeyId: username, secretAccessKey: password },
  })
  const faults = new SqsFaults({ seed: process.pid })
  faults.install(client)
  const visibility = searchParams.get('visibility')
  const factory = sqs({
    client,
    prefix: searchParams.get('prefix') ?? '',
    ...(visibility === null ? {} : { visibility: visibility as `${number}s` }),
  })
  const { place } = sqs(url)
  return {
    // The place comes from the URL, because the client does not tell where it leads.
    driver: place === undefined ? factory : { ...factory, place },
    disturb(line) {
      console.log(`requests ${faults.totalRequests}`)
      faults.rates = JSON.parse(line) as SqsFaultRates
      if (faults.rates.unavailable === 1) faults.sever()
    },
  }
}
