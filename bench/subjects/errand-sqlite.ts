import { join } from 'node:path'
import { errandSubject } from './errand.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = (place) =>
  errandSubject({ log: `sqlite:${join(place.folder, `${place.space}.db`)}` }, place)
