package freshet.flink;

import org.apache.flink.streaming.api.functions.sink.filesystem.PartFileInfo;
import org.apache.flink.streaming.api.functions.sink.filesystem.rollingpolicies.CheckpointRollingPolicy;
import org.apache.flink.types.Row;

/** A new file for each element, and none over a checkpoint: nothing half written is ever kept. */
final class ParquetRolling extends CheckpointRollingPolicy<Row, String> {
    private static final long serialVersionUID = 1L;

    @Override
    public boolean shouldRollOnEvent(PartFileInfo<String> file, Row next) {
        return true;
    }

    @Override
    public boolean shouldRollOnProcessingTime(PartFileInfo<String> file, long now) {
        return false;
    }
}
