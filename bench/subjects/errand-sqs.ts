import { sqs } from '@errand/driver-sqs'
import { postgres } from '@errand/log-postgres'
import { urlOf } from '../servers/server.ts'
import { errandSubject } from './errand.ts'
import { sqsPlace } from './sqs-place.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = ({ urls, space }) =>
  errandSubject({
    log: postgres({ url: urlOf(urls, 'postgres'), schema: space }),
    driver: sqs({ ...sqsPlace(urlOf(urls, 'sqs')), prefix: `${space}-` }),
  })
