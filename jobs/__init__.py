"""The Flink jobs: wiring of sources, operators and sinks."""
