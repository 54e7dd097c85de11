package freshet.flink;

import java.util.List;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.types.Row;

/**
 * Collects framed messages by bucket and sends each bucket's on as one blob, so that Python is
 * entered once a group and not once a message.
 *
 * <p>A group leaves when there is enough of it, when it has waited for so long, and before
 * everything that must not overtake it: a watermark, a checkpoint's barrier, the end. So nothing is
 * held while a checkpoint is taken, and this operator has no state. Before a barrier each bucket
 * that had messages since the last one also gets an empty group: Python writes its states then.
 */
final class GroupingOperator extends AbstractStreamOperator<Row>
        implements OneInputStreamOperator<Tuple2<Integer, byte[]>, Row> {
    private static final long serialVersionUID = 1L;

    private final int buckets;
    private final int groupMessages;
    private final int groupBytes;
    private final long groupMs;

    private transient Groups groups;
    private transient boolean timed;

    GroupingOperator(int buckets, int groupMessages, int groupBytes, long groupMs) {
        this.buckets = buckets;
        this.groupMessages = groupMessages;
        this.groupBytes = groupBytes;
        this.groupMs = groupMs;
    }

    @Override
    public void open() throws Exception {
        super.open();
        groups = new Groups(buckets, groupMessages, groupBytes);
    }

    @Override
    public void processElement(StreamRecord<Tuple2<Integer, byte[]>> element) {
        if (groups.add(element.getValue().f0, element.getValue().f1)) {
            send(groups.take());
        } else if (!timed) {
            timed = true;
            long now = getProcessingTimeService().getCurrentProcessingTime();
            getProcessingTimeService().registerTimer(now + groupMs, at -> sendInTime());
        }
    }

    @Override
    public void processWatermark(Watermark mark) throws Exception {
        send(groups.take());
        super.processWatermark(mark);
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) {
        send(groups.take());
        send(groups.markers());
    }

    @Override
    public void finish() throws Exception {
        send(groups.take());
        send(groups.markers());
        super.finish();
    }

    private void sendInTime() {
        timed = false;
        send(groups.take());
    }

    private void send(List<Row> rows) {
        rows.forEach(row -> output.collect(new StreamRecord<>(row)));
    }
}
