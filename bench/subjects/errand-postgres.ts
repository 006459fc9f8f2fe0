import { postgres } from '@errand/log-postgres'
import { getUrl } from '../servers/server.ts'
import { errandSubject } from './errand.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = (place) =>
  errandSubject({ log: postgres({ url: getUrl(place.urls, 'postgres'), schema: place.space }) }, place)
