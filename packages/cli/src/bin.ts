#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import './quiet-warnings.ts'

// A command that lives for half a second spends most of it on compiling; what is imported from here on is kept.
enableCompileCache()
// Not a top-level await: the `errand` package imports this file, and its modules can be required.
void import('./main.ts').then(({ main }) => main(process.argv.slice(2)))
