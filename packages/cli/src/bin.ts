#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import './quiet-warnings.ts'

// A short command spends most of its time on compiling. Node caches what is compiled from here on.
enableCompileCache()
// Not a top-level await: the `errand` package imports this file, and its modules can be required.
void import('./main.ts').then(({ main }) => main(process.argv.slice(2)))
