package freshet.flink;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.List;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * Splits what left for a group: frames as operators/frames.py writes them, lengths of topic, key and
 * payload, then these. Deltas go aside.
 */
final class Ungroup extends ProcessFunction<byte[], Tuple3<String, byte[], byte[]>> {
    private static final long serialVersionUID = 1L;

    static final TypeInformation<Tuple3<String, byte[], byte[]>> TYPE =
            Types.TUPLE(
                    Types.STRING,
                    PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO,
                    Types.GENERIC(byte[].class));
    static final OutputTag<Tuple3<String, byte[], byte[]>> DELTAS = new OutputTag<>("deltas", TYPE);

    private final HashSet<String> deltas;

    Ungroup(List<String> deltas) {
        this.deltas = new HashSet<>(deltas);
    }

    @Override
    public void processElement(
            byte[] group, Context context, Collector<Tuple3<String, byte[], byte[]>> out) {
        ByteBuffer frames = ByteBuffer.wrap(group).order(ByteOrder.LITTLE_ENDIAN);
        while (frames.hasRemaining()) {
            Tuple3<String, byte[], byte[]> one = next(frames);
            if (deltas.contains(one.f0)) {
                context.output(DELTAS, one);
            } else {
                out.collect(one);
            }
        }
    }

    private static Tuple3<String, byte[], byte[]> next(ByteBuffer frames) {
        int topicBytes = frames.getShort();
        int keyBytes = frames.getInt();
        int payloadBytes = frames.getInt();
        String topic = new String(bytes(frames, topicBytes), StandardCharsets.UTF_8);
        return Tuple3.of(topic, bytes(frames, keyBytes), bytes(frames, payloadBytes));
    }

    private static byte[] bytes(ByteBuffer frames, int length) {
        if (length < 0) {
            return null;
        }
        byte[] bytes = new byte[length];
        frames.get(bytes);
        return bytes;
    }
}
