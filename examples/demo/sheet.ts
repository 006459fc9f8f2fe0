import { basename } from 'node:path'
import type { Image, Rendition } from './jobs.ts'
import type { Place } from './place.ts'
import type { Planned } from './plan.ts'
