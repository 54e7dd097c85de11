package freshet.flink;

import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.functions.sink.filesystem.BucketAssigner;
import org.apache.flink.streaming.api.functions.sink.filesystem.bucketassigners.SimpleVersionedStringSerializer;
import org.apache.flink.types.Row;

/** A file says itself in which directory of the lake it belongs. */
final class ParquetDirectory implements BucketAssigner<Row, String> {
    private static final long serialVersionUID = 1L;

    @Override
    public String getBucketId(Row file, Context context) {
        return (String) file.getField(0);
    }

    @Override
    public SimpleVersionedSerializer<String> getSerializer() {
        return SimpleVersionedStringSerializer.INSTANCE;
    }
}
