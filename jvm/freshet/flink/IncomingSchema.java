package freshet.flink;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.util.Collector;

/** Messages as they stand in the log, whatever they are, each with its bucket; a tick has none. */
final class IncomingSchema implements KafkaRecordDeserializationSchema<Tuple2<Integer, byte[]>> {
    private static final long serialVersionUID = 1L;

    static final TypeInformation<Tuple2<Integer, byte[]>> TYPE =
            Types.TUPLE(Types.INT, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);

    static final int TICK = -1;
    private static final Tuple2<Integer, byte[]> A_TICK = Tuple2.of(TICK, new byte[0]);

    private final int buckets;
    private final byte[] tick;

    IncomingSchema(int buckets, String tick) {
        this.buckets = buckets;
        this.tick = tick.getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public void deserialize(
            ConsumerRecord<byte[], byte[]> message, Collector<Tuple2<Integer, byte[]>> out) {
        if (message.value() == null && Arrays.equals(message.key(), tick)) {
            out.collect(A_TICK);
            return;
        }
        out.collect(Tuple2.of(Buckets.of(message.key(), buckets), Message.framed(message)));
    }

    @Override
    public TypeInformation<Tuple2<Integer, byte[]>> getProducedType() {
        return TYPE;
    }
}
