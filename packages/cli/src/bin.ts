#!/usr/bin/env node
import './quiet-warnings.ts'
import { main } from './main.ts'

await main(process.argv.slice(2))
