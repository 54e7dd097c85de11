package freshet.flink;

import java.io.ByteArrayOutputStream;
import java.util.BitSet;
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
    private static final byte[] WRITE_STATES = {};

    private final int buckets;
    private final int groupMessages;
    private final int groupBytes;
    private final long groupMs;

    private transient ByteArrayOutputStream[] groups;
    private transient BitSet filled;
    private transient BitSet touched;
    private transient int messages;
    private transient long bytes;
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
        groups = new ByteArrayOutputStream[buckets];
        for (int bucket = 0; bucket < buckets; bucket++) {
            groups[bucket] = new ByteArrayOutputStream();
        }
        filled = new BitSet(buckets);
        touched = new BitSet(buckets);
    }

    @Override
    public void processElement(StreamRecord<Tuple2<Integer, byte[]>> element) {
        int bucket = element.getValue().f0;
        byte[] message = element.getValue().f1;
        groups[bucket].write(message, 0, message.length);
        filled.set(bucket);
        messages += 1;
        bytes += message.length;
        if (messages >= groupMessages || bytes >= groupBytes) {
            send();
        } else if (!timed) {
            timed = true;
            getProcessingTimeService()
                    .registerTimer(
                            getProcessingTimeService().getCurrentProcessingTime() + groupMs,
                            now -> sendInTime());
        }
    }

    @Override
    public void processWatermark(Watermark mark) throws Exception {
        send();
        super.processWatermark(mark);
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) {
        send();
        sendMarkers();
    }

    @Override
    public void finish() throws Exception {
        send();
        sendMarkers();
        super.finish();
    }

    private void sendInTime() {
        timed = false;
        send();
    }

    private void send() {
        for (int bucket = filled.nextSetBit(0); bucket >= 0; bucket = filled.nextSetBit(bucket + 1)) {
            emit(bucket, groups[bucket].toByteArray());
            release(bucket);
        }
        touched.or(filled);
        filled.clear();
        messages = 0;
        bytes = 0;
    }

    /** The buffer is kept for the next group, unless one of large messages made it large. */
    private void release(int bucket) {
        if (groups[bucket].size() > groupBytes / 8) {
            groups[bucket] = new ByteArrayOutputStream();
        } else {
            groups[bucket].reset();
        }
    }

    private void sendMarkers() {
        touched.stream().forEach(bucket -> emit(bucket, WRITE_STATES));
        touched.clear();
    }

    private void emit(int bucket, byte[] group) {
        output.collect(new StreamRecord<>(Row.of(bucket, group)));
    }
}
