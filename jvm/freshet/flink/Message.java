package freshet.flink;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * A message of the log as the frame that operators/frames.py reads: lengths of topic, key and value,
 * partition, offset and log time, little endian, then topic, key and value. Length -1 is null.
 */
final class Message {
    static final int HEADER_BYTES = 2 + 4 + 4 + 4 + 8 + 8;

    private Message() {}

    static byte[] framed(ConsumerRecord<byte[], byte[]> message) {
        byte[] topic = message.topic().getBytes(StandardCharsets.UTF_8);
        byte[] key = message.key();
        byte[] value = message.value();
        ByteBuffer frame =
                ByteBuffer.allocate(HEADER_BYTES + topic.length + size(key) + size(value))
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putShort((short) topic.length)
                        .putInt(key == null ? -1 : key.length)
                        .putInt(value == null ? -1 : value.length)
                        .putInt(message.partition())
                        .putLong(message.offset())
                        .putLong(message.timestamp())
                        .put(topic);
        if (key != null) {
            frame.put(key);
        }
        if (value != null) {
            frame.put(value);
        }
        return frame.array();
    }

    private static int size(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }
}
