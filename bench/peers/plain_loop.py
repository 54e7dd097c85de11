"""A plain loop between two Kafka clients, with a dict of bytes; nothing of it survives."""

import sys

from confluent_kafka import Consumer, Producer  # type: ignore[import-not-found, unused-ignore]

from bench.peers.work import moved_bytes


def main(bootstrap: str, source: str, target: str, _directory: str) -> None:
    """Work until stopped."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": target,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    consumer.subscribe([source])
    states: dict[bytes, bytes] = {}
    while True:
        for message in consumer.consume(500, timeout=0.1):
            key, value = message.key(), message.value()
            if key is None or value is None:
                continue
            states[key] = moved_bytes(states.get(key), value)
            _produce(producer, target, key, states[key])
        producer.poll(0)


def _produce(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, key=key, value=value)
        except BufferError:
            producer.poll(0.1)
        else:
            return


if __name__ == "__main__":
    main(*sys.argv[1:5])
