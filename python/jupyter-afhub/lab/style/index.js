import './index.css';
import './batch.css';
