package freshet.flink;

import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.sink.TransactionNamingStrategy;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.types.Row;

/** What jobs/kafka.py wires: messages of the log in groups, and what leaves, split again. */
public final class Log {
    private static final TypeInformation<Row> KEY_TYPE = Types.ROW(Types.INT);
    private static final TypeInformation<Row> GROUP_TYPE =
            Types.ROW(Types.INT, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);

    private Log() {}

    /**
     * The messages of the topics. Their time is the log's: a watermark says how far it has come,
     * also by ticks, which are messages of key `tick` without a value and go no further.
     */
    public static DataStream<Tuple2<Integer, byte[]>> messages(
            StreamExecutionEnvironment env,
            Properties client,
            List<String> topics,
            int buckets,
            String tick,
            long startMs,
            long delayMs,
            long idleMs) {
        KafkaSource<Tuple2<Integer, byte[]>> source =
                KafkaSource.<Tuple2<Integer, byte[]>>builder()
                        .setTopics(topics)
                        .setStartingOffsets(
                                startMs == 0
                                        ? OffsetsInitializer.earliest()
                                        : OffsetsInitializer.timestamp(startMs))
                        .setProperties(client)
                        .setDeserializer(new IncomingSchema(buckets, tick))
                        .build();
        WatermarkStrategy<Tuple2<Integer, byte[]>> logTime =
                WatermarkStrategy.<Tuple2<Integer, byte[]>>forBoundedOutOfOrderness(
                                Duration.ofMillis(delayMs))
                        .withIdleness(Duration.ofMillis(idleMs));
        return env.fromSource(source, logTime, "messages", IncomingSchema.TYPE)
                .uid("messages")
                .filter(message -> message.f0 != IncomingSchema.TICK)
                .name("no ticks")
                .uid("no ticks");
    }

    /**
     * Messages in groups, keyed by bucket: shuffled once, collected, and keyed for Python where they
     * are, in the form in which PyFlink takes keys.
     */
    public static KeyedStream<Row, Row> grouped(
            DataStream<Tuple2<Integer, byte[]>> messages,
            int buckets,
            int groupMessages,
            int groupBytes,
            long groupMs) {
        KeySelector<Tuple2<Integer, byte[]>, Row> bucket = message -> Row.of(message.f0);
        KeyedStream<Tuple2<Integer, byte[]>, Row> shuffled = messages.keyBy(bucket, KEY_TYPE);
        GroupingOperator grouping =
                new GroupingOperator(buckets, groupMessages, groupBytes, groupMs);
        // As a plain stream, or the grouping would get a state backend that it has no use for.
        SingleOutputStreamOperator<Row> groups =
                new DataStream<>(shuffled.getExecutionEnvironment(), shuffled.getTransformation())
                        .transform("group", GROUP_TYPE, grouping)
                        .uid("group");
        KeySelector<Row, Row> sameBucket = group -> Row.of(group.getField(0));
        return DataStreamUtils.reinterpretAsKeyedStream(groups, sameBucket, KEY_TYPE);
    }

    /** What leaves: at once and at least once, or as a delta in transactions of `deltaPrefix`. */
    public static void sink(
            DataStream<byte[]> groups,
            Properties client,
            List<String> absolutes,
            List<String> deltas,
            String deltaPrefix) {
        SingleOutputStreamOperator<Tuple3<String, byte[], byte[]>> absolute =
                groups.process(new Ungroup(deltas), Ungroup.TYPE).name("ungroup").uid("ungroup");
        absolute.sinkTo(atLeastOnce(client, absolutes)).name("absolute").uid("absolute");
        absolute.getSideOutput(Ungroup.DELTAS)
                .sinkTo(exactlyOnce(client, deltas, deltaPrefix))
                .name("deltas")
                .uid("deltas");
    }

    private static KafkaSink<Tuple3<String, byte[], byte[]>> atLeastOnce(
            Properties client, List<String> topics) {
        return to(client, topics).setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE).build();
    }

    private static KafkaSink<Tuple3<String, byte[], byte[]>> exactlyOnce(
            Properties client, List<String> topics, String prefix) {
        return to(client, topics)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(prefix)
                .setTransactionNamingStrategy(TransactionNamingStrategy.POOLING)
                .build();
    }

    private static KafkaSinkBuilder<Tuple3<String, byte[], byte[]>> to(
            Properties client, List<String> topics) {
        return KafkaSink.<Tuple3<String, byte[], byte[]>>builder()
                .setKafkaProducerConfig(client)
                .setRecordSerializer(new OutgoingSchema(topics));
    }
}
