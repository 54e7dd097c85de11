package freshet.flink;

import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.core.fs.Path;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.sink.filesystem.OutputFileConfig;
import org.apache.flink.types.Row;

/** What jobs/interaction_lake.py wires: messages in groups, and files where they belong. */
public final class ParquetLake {
    private static final TypeInformation<Row> GROUP_TYPE =
            Types.ROW(Types.INT, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);

    private ParquetLake() {}

    /**
     * Messages in groups, each where it was read: the lake needs no shuffle. A group leaves when it
     * is large, and before each checkpoint's barrier.
     */
    public static DataStream<byte[]> grouped(
            DataStream<Tuple2<Integer, byte[]>> messages,
            int groupMessages,
            int groupBytes,
            long groupMs) {
        return messages.transform(
                        "group",
                        GROUP_TYPE,
                        new GroupingOperator(1, groupMessages, groupBytes, groupMs))
                .uid("group")
                .map(group -> (byte[]) group.getField(1))
                .returns(PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO)
                .name("bytes")
                .uid("bytes")
                .filter(group -> group.length > 0)
                .name("filled")
                .uid("filled");
    }

    /** Rows of (directory, whole file) as files, which appear when their checkpoint has ended. */
    public static void sink(DataStream<Row> files, String directory) {
        FileSink<Row> sink =
                FileSink.forBulkFormat(new Path(directory), new ParquetFileWriter.Factory())
                        .withBucketAssigner(new ParquetDirectory())
                        .withRollingPolicy(new ParquetRolling())
                        .withOutputFileConfig(
                                OutputFileConfig.builder()
                                        .withPartPrefix("part")
                                        .withPartSuffix(".parquet")
                                        .build())
                        .build();
        files.sinkTo(sink).name("lake").uid("lake");
    }
}
