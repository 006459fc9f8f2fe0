import { sqs } from '@errand/driver-sqs'
import { postgres } from '@errand/log-postgres'
import { getUrl } from '../servers/server.ts'
import { errandSubject } from './errand.ts'
import { sqsPlace } from './sqs-place.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = (place) => {
  const { urls, space } = place
  const log = postgres({ url: getUrl(urls, 'postgres'), schema: space })
  const driver = sqs({ ...sqsPlace(getUrl(urls, 'sqs')), prefix: `${space}-` })
  return errandSubject({ log, driver }, place)
}
