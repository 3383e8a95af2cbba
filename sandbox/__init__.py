"""Stand in for Autotask PSA: an in-memory tenant behind its REST API, served over real HTTP.

For the demo, the tests and the benchmarks. It is meant to be unkind: where the vendor's pages say
nothing, `switches.Switches` decides, and its defaults are the answers that hurt a client most.
"""
